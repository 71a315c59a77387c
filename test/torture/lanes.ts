import { setTimeout as delay } from 'node:timers/promises'
import { createPrng } from '../../src/sandbox/prng.ts'
import { accountFaults } from './faults/accounts.ts'
import { between, type Fault, type Random } from './faults/fault.ts'
import { killFaults } from './faults/kills.ts'
import { postgresFaults } from './faults/postgres.ts'
import { providerFaults } from './faults/provider.ts'
import { redisFaults } from './faults/redis.ts'
import { replicaFaults } from './faults/replicas.ts'
import type { Stage } from './stage.ts'

/** One thing after the other happens in a lane; the lanes run beside each other. */
export interface Lane {
  name: string
  faults: Fault[]
  /** Between the end of one fault and the next one. */
  pauseMs: [from: number, to: number]
}

export const LANES: Lane[] = [
  { name: 'kills', faults: killFaults, pauseMs: [3_000, 7_000] },
  { name: 'replicas', faults: replicaFaults, pauseMs: [6_000, 15_000] },
  { name: 'postgres', faults: postgresFaults, pauseMs: [4_000, 10_000] },
  { name: 'redis', faults: redisFaults, pauseMs: [4_000, 10_000] },
  { name: 'provider', faults: providerFaults, pauseMs: [2_000, 6_000] },
  { name: 'accounts', faults: accountFaults, pauseMs: [5_000, 12_000] },
]

export interface LaneOptions {
  /** Only faults whose name holds this. */
  only?: string | undefined
  /** Each fault once. */
  isOnce?: boolean
  /** None of those that take minutes to recover from. */
  isShort?: boolean
  /** Divides the pauses. */
  haste?: number
}

/** The names of all faults of the mix. */
export function faultNames(): string[] {
  return LANES.flatMap(({ faults }) => faults.map(({ name }) => name))
}

/** Injects faults until the stage's signal, or until each has been once when `isOnce`. */
export async function runLanes(
  stage: Stage,
  seed: number,
  { only, isOnce = false, isShort = false, haste = 1 }: LaneOptions,
): Promise<void> {
  const lanes = LANES.map((lane) => ({
    ...lane,
    faults: lane.faults.filter(
      ({ name, isSlow = false }) =>
        (only === undefined || name.includes(only)) && !(isShort && isSlow),
    ),
  })).filter(({ faults }) => faults.length > 0)
  await Promise.all(
    lanes.map((lane, nth) =>
      runLane(stage, lane, createPrng(seed + 7919 * nth), { isOnce, haste }),
    ),
  )
}

async function runLane(
  stage: Stage,
  lane: Lane,
  random: Random,
  { isOnce, haste }: { isOnce: boolean; haste: number },
): Promise<void> {
  const { signal } = stage
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
    await fault?.inject(stage, random).catch((error) => {
      stage.incidents.note(`harness: ${fault.name}: ${error.stack}`)
    })
    await delay(between(...lane.pauseMs, random) / haste, undefined, { signal }).catch(() => {})
  }
}

/** Each fault comes as often as it weighs in every round: none is left out by chance. */
function shuffle<T>(list: T[], random: Random): T[] {
  const keyed = list.map((item) => ({ item, key: random() }))
  return keyed.sort((left, right) => left.key - right.key).map(({ item }) => item)
}
