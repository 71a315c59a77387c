import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import type { Step } from '../../../src/refresh/steps.ts'
import { orderAtAll } from '../order-at-all.ts'
import type { Replica } from '../replica.ts'
import { inBackground, type Stage } from '../stage.ts'
import { between, type Fault, followUp, generationOf, pick, type Random } from './fault.ts'

const MEET_LIMIT_MS = 40_000
const SKEW_MS = 10 * 60_000
/** Longer than a lease, the settle time and a probe take; whoever takes the claim over ends the wait. */
const LEASE_LIMIT_MS = 40_000
/** A little longer, so that the one who took over has sent. */
const AFTER_LEASE_MS = 1_500

export const replicaFaults: Fault[] = [
  ...(['writing', 'written', 'claimed', 'kept', 'commit_prepared'] as const).map((step) => ({
    name: `SIGSTOP past the lease at ${step}`,
    weight: step === 'writing' || step === 'written' ? 2 : 1,
    inject: (stage: Stage, random: Random) => stopAt(stage, random, step),
  })),
  {
    name: 'SIGSTOP for seconds, anywhere',
    weight: 2,
    inject: (stage, random) =>
      onReplica(stage, random, 'SIGSTOP for seconds, anywhere', async (replica) => {
        replica.freeze()
        await delay(between(500, 6_000, random))
        replica.thaw()
      }),
  },
  {
    name: 'kill -9 anywhere',
    weight: 2,
    inject: (stage, random) =>
      onReplica(stage, random, 'kill -9 anywhere', async (replica) => {
        await replica.kill()
        await replica.start()
      }),
  },
  {
    name: 'SIGTERM and start again',
    inject: (stage, random) =>
      onReplica(stage, random, 'SIGTERM and start again', async (replica) => {
        await replica.terminate()
        await replica.start()
      }),
  },
  ...[SKEW_MS, -SKEW_MS].map((skewMs) => {
    const name = `clock ${skewMs > 0 ? 'ahead' : 'behind'} by 10 minutes`
    return {
      name,
      inject: (stage: Stage, random: Random) =>
        onReplica(stage, random, name, async (replica) => {
          await replica.terminate()
          await replica.start({ skewMs })
        }),
    }
  }),
  {
    name: 'rolling restart of all',
    inject: async (stage) => {
      const incident = stage.incidents.begin('rolling restart of all')
      const beganMs = Date.now()
      for (const replica of stage.replicas) {
        await untilUp(stage, replica)
        if (stage.signal.aborted) return
        await replica.terminate()
        await replica.start()
      }
      stage.incidents.end(incident, 'all ready', Date.now() - beganMs)
    },
  },
]

/** Stops a replica at a step, and lets it go on when another one has taken its claim over. */
async function stopAt(stage: Stage, random: Random, step: Step): Promise<void> {
  const replica = pick(stage.replicas, random)
  await untilUp(stage, replica)
  const incident = stage.incidents.begin(`SIGSTOP past the lease at ${step}`)
  const order = { step, signal: 'SIGSTOP' } as const
  const entry = await orderAtAll([replica], stage.journal, order, MEET_LIMIT_MS)
  if (entry === undefined) return stage.incidents.drop(incident)
  incident.atMs = entry.atMs
  const generation = generationOf(stage, entry.account)
  await untilTakenOver(stage, entry.account)
  replica.thaw()
  inBackground(stage, followUp(stage, incident, entry.account, generation))
  return undefined
}

/** Another owner has the claim, or none is left. */
async function untilTakenOver({ vault, signal }: Stage, account: number): Promise<void> {
  const owner = await ownerOf(vault.db, account)
  const endMs = Date.now() + LEASE_LIMIT_MS
  while (!signal.aborted && Date.now() < endMs && (await ownerOf(vault.db, account)) === owner) {
    await delay(200)
  }
  await delay(AFTER_LEASE_MS)
}

async function ownerOf(db: Stage['vault']['db'], account: number): Promise<string | undefined> {
  const { rows } = await sql<{ owner: string }>`
    select owner from amo_refresh_attempts where "accountId" = ${account} and "finishedAt" is null
  `.execute(db)
  return rows[0]?.owner
}

/** Recovered when it is ready again and answers. */
async function onReplica(
  stage: Stage,
  random: Random,
  name: string,
  work: (replica: Replica) => Promise<void>,
): Promise<void> {
  const replica = pick(stage.replicas, random)
  await untilUp(stage, replica)
  if (stage.signal.aborted) return
  const incident = stage.incidents.begin(name)
  const beganMs = Date.now()
  await work(replica)
  await untilUp(stage, replica)
  stage.incidents.end(incident, 'ready again', Date.now() - beganMs)
}

async function untilUp({ signal }: Stage, replica: Replica): Promise<void> {
  while (!signal.aborted && !replica.isUp) await delay(50)
}
