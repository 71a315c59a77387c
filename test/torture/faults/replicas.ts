import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import type { RefreshStep } from '../../../src/lib/failpoint.ts'
import { type Harness, inBackground } from '../harness.ts'
import { orderAtAll } from '../order-at-all.ts'
import type { Replica } from '../replica.ts'
import { between, type Fault, followUp, generationOf, pick, type Random } from './fault.ts'

const MEET_LIMIT_MS = 40_000
const SKEW_MS = 10 * 60_000
/** Longer than a lease, the settle time and a probe. A reclaim ends the wait earlier. */
const LEASE_LIMIT_MS = 40_000
/** A little longer, so that the replica that reclaimed has sent. */
const AFTER_LEASE_MS = 1_500

export const replicaFaults: Fault[] = [
  ...(['writing', 'written', 'claimed', 'journaled', 'commit_prepared'] as const).map((step) => ({
    name: `SIGSTOP past the lease at ${step}`,
    weight: step === 'writing' || step === 'written' ? 2 : 1,
    inject: (harness: Harness, random: Random) => stopAt(harness, random, step),
  })),
  {
    name: 'SIGSTOP for seconds, anywhere',
    weight: 2,
    inject: (harness, random) =>
      onReplica(harness, random, 'SIGSTOP for seconds, anywhere', async (replica) => {
        replica.freeze()
        await delay(between(500, 6_000, random))
        replica.thaw()
      }),
  },
  {
    name: 'kill -9 anywhere',
    weight: 2,
    inject: (harness, random) =>
      onReplica(harness, random, 'kill -9 anywhere', async (replica) => {
        await replica.kill()
        await replica.start()
      }),
  },
  {
    name: 'SIGTERM and start again',
    inject: (harness, random) =>
      onReplica(harness, random, 'SIGTERM and start again', async (replica) => {
        await replica.terminate()
        await replica.start()
      }),
  },
  ...[SKEW_MS, -SKEW_MS].map((skewMs) => {
    const name = `clock ${skewMs > 0 ? 'ahead' : 'behind'} by 10 minutes`
    return {
      name,
      inject: (harness: Harness, random: Random) =>
        onReplica(harness, random, name, async (replica) => {
          await replica.terminate()
          await replica.start({ skewMs })
        }),
    }
  }),
  {
    name: 'rolling restart of all',
    inject: async (harness) => {
      const incident = harness.incidents.begin('rolling restart of all')
      const beganMs = Date.now()
      for (const replica of harness.replicas) {
        await untilUp(harness, replica)
        if (harness.signal.aborted) return
        await replica.terminate()
        await replica.start()
      }
      harness.incidents.end(incident, 'all ready', Date.now() - beganMs)
    },
  },
]

/** Stops a replica at a step, and continues it after another one has reclaimed its attempt. */
async function stopAt(harness: Harness, random: Random, step: RefreshStep): Promise<void> {
  const replica = pick(harness.replicas, random)
  await untilUp(harness, replica)
  const incident = harness.incidents.begin(`SIGSTOP past the lease at ${step}`)
  const order = { step, signal: 'SIGSTOP' } as const
  const entry = await orderAtAll([replica], harness.journal, order, MEET_LIMIT_MS)
  if (entry === undefined) return harness.incidents.drop(incident)
  incident.atMs = entry.atMs
  const generation = generationOf(harness, entry.account)
  await untilTakenOver(harness, entry.account)
  replica.thaw()
  inBackground(harness, followUp(harness, incident, entry.account, generation))
  return undefined
}

/** Waits until another owner has the claim, or no claim is left. */
async function untilTakenOver({ vault, signal }: Harness, account: number): Promise<void> {
  let owner: string | undefined
  // PostgreSQL may be away meanwhile, and the replica must be continued all the same.
  const look = () => ownerOf(vault.db, account).catch(() => owner)
  owner = await look()
  const endMs = Date.now() + LEASE_LIMIT_MS
  while (!signal.aborted && Date.now() < endMs && (await look()) === owner) await delay(200)
  await delay(AFTER_LEASE_MS)
}

async function ownerOf(db: Harness['vault']['db'], account: number): Promise<string | undefined> {
  const { rows } = await sql<{ owner: string }>`
    select owner from amo_refresh_attempts where "accountId" = ${account} and "finishedAt" is null
  `.execute(db)
  return rows[0]?.owner
}

/** Acts on a replica. It has recovered when it is ready again. */
async function onReplica(
  harness: Harness,
  random: Random,
  name: string,
  work: (replica: Replica) => Promise<void>,
): Promise<void> {
  const replica = pick(harness.replicas, random)
  await untilUp(harness, replica)
  if (harness.signal.aborted) return
  const incident = harness.incidents.begin(name)
  const beganMs = Date.now()
  await work(replica)
  await untilUp(harness, replica)
  harness.incidents.end(incident, 'ready again', Date.now() - beganMs)
}

async function untilUp({ signal }: Harness, replica: Replica): Promise<void> {
  while (!signal.aborted && !replica.isUp) await delay(50)
}
