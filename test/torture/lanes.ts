import { setTimeout as delay } from 'node:timers/promises'
import { createPrng } from '../../src/sandbox/prng.ts'
import { accountFaults } from './faults/accounts.ts'
import { diskFaults } from './faults/disk.ts'
import { between, type Fault, type Random } from './faults/fault.ts'
import { killFaults } from './faults/kills.ts'
import { postgresFaults } from './faults/postgres.ts'
import { providerFaults } from './faults/provider.ts'
import { redisFaults } from './faults/redis.ts'
import { replicaFaults } from './faults/replicas.ts'
import { storageFaults } from './faults/storage.ts'
import type { Harness } from './harness.ts'

/** The faults of a lane come one after the other. The lanes run concurrently. */
interface Lane {
  name: string
  faults: Fault[]
  /** Pause between the end of one fault and the next one. */
  pauseMs: [from: number, to: number]
}

const LANES: Lane[] = [
  { name: 'kills', faults: killFaults, pauseMs: [3_000, 7_000] },
  { name: 'replicas', faults: replicaFaults, pauseMs: [6_000, 15_000] },
  { name: 'postgres', faults: postgresFaults, pauseMs: [4_000, 10_000] },
  { name: 'storage', faults: storageFaults, pauseMs: [2_000, 6_000] },
  { name: 'disk', faults: diskFaults, pauseMs: [40_000, 80_000] },
  { name: 'redis', faults: redisFaults, pauseMs: [4_000, 10_000] },
  { name: 'provider', faults: providerFaults, pauseMs: [2_000, 6_000] },
  { name: 'accounts', faults: accountFaults, pauseMs: [5_000, 12_000] },
]

/** Changes of the server take longer than the short form waits. */
const FAILOVERS = /^(read_only|switchover|failover_lossy|old_primary_writable)/

export interface LaneOptions {
  /** Injects only faults whose name contains this. */
  only?: string | undefined
  /** Injects each fault once. */
  isOnce?: boolean
  /** Leaves out the faults that take minutes to recover from. */
  isShort?: boolean
  /** Divides the pauses. */
  haste?: number
}

/** Returns the names of all faults of the mix. */
export function faultNames(): string[] {
  return LANES.flatMap(({ faults }) => faults.map(({ name }) => name))
}

/**
 * Injects faults until the harness's signal, or with `isOnce` until each fault was injected once.
 */
export async function runLanes(
  harness: Harness,
  seed: number,
  { only, isOnce = false, isShort = false, haste = 1 }: LaneOptions,
): Promise<void> {
  const lanes = LANES.map((lane) => ({
    ...lane,
    faults: lane.faults.filter(
      ({ name, isSlow = false }) =>
        (only === undefined || name.includes(only)) &&
        !(isShort && (isSlow || FAILOVERS.test(name))),
    ),
  })).filter(({ faults }) => faults.length > 0)
  await Promise.all(
    lanes.map((lane, nth) =>
      runLane(harness, lane, createPrng(seed + 7919 * nth), { isOnce, haste }),
    ),
  )
}

async function runLane(
  harness: Harness,
  lane: Lane,
  random: Random,
  { isOnce, haste }: { isOnce: boolean; haste: number },
): Promise<void> {
  const { signal } = harness
  let round: Fault[] = []
  let rounds = 0
  while (!signal.aborted) {
    if (round.length === 0) {
      if (isOnce && rounds > 0) return
      round = shuffle(
        lane.faults.flatMap((fault) => Array<Fault>(isOnce ? 1 : (fault.weight ?? 1)).fill(fault)),
        random,
      )
      rounds += 1
    }
    const fault = round.pop()
    await fault?.inject(harness, random).catch((error) => {
      harness.incidents.note(`harness: ${fault.name}: ${error.stack}`)
    })
    await delay(between(...lane.pauseMs, random) / haste, undefined, { signal }).catch(() => {})
  }
}

/** Lists each fault as often as its weight in every round, so that chance leaves out none. */
function shuffle<T>(list: T[], random: Random): T[] {
  const keyed = list.map((item) => ({ item, key: random() }))
  return keyed.sort((left, right) => left.key - right.key).map(({ item }) => item)
}
