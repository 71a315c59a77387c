import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import type { RefreshStep } from '../../../src/lib/failpoint.ts'
import type { ProxyMode } from '../../support/proxy.ts'
import type { Harness } from '../harness.ts'
import { orderAtAll } from '../order-at-all.ts'
import type { Replica } from '../replica.ts'
import { between, type Fault, pick, type Random } from './fault.ts'
import { infrastructureFault } from './healthy.ts'

const MEET_LIMIT_MS = 20_000

/** Text of the broker's statements whose response is lost after the server has carried them out. */
const STATEMENTS = {
  'the commit of a new pair': 'commit\0',
  'a claim': 'insert into amo_refresh_attempts',
  'the record of a send': '"sendCount" + 1',
} as const

const faults: Fault[] = [
  infrastructureFault('PostgreSQL down for all', (harness, random) =>
    mode(harness, random, 'refuse', true),
  ),
  infrastructureFault('PostgreSQL down for one replica', (harness, random) =>
    mode(harness, random, 'refuse', false),
  ),
  infrastructureFault('PostgreSQL hanging for all', (harness, random) =>
    mode(harness, random, 'hang', true),
  ),
  infrastructureFault('PostgreSQL hanging for one replica', (harness, random) =>
    mode(harness, random, 'hang', false),
  ),
  infrastructureFault('PostgreSQL slow', async ({ replicas }, random) => {
    for (const { proxies } of replicas) proxies.postgres.slow(between(20, 150, random))
    await delay(between(2_000, 5_000, random))
    for (const { proxies } of replicas) proxies.postgres.slow(0)
  }),
  infrastructureFault('PostgreSQL ends all connections', async ({ vault }) => {
    await sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name = 'amo-token-broker'
        and pid <> pg_backend_pid()`.execute(vault.db)
  }),
  infrastructureFault('LISTEN black-holed for all', (harness, random) =>
    blackHole(harness, random, true),
  ),
  infrastructureFault('LISTEN black-holed for one', (harness, random) =>
    blackHole(harness, random, false),
  ),
  ...Object.entries(STATEMENTS).flatMap(([what, text]) =>
    (['nothing', 'half'] as const).map((part) =>
      infrastructureFault(
        `acknowledgement of ${what} lost${part === 'half' ? ', cut in half' : ''}`,
        (harness, random) => loseAcknowledgement(harness, random, text, part),
      ),
    ),
  ),
  ...(['claimed', 'response_read', 'journaled', 'commit_prepared'] as const).map((step) =>
    infrastructureFault(
      step === 'claimed'
        ? 'PostgreSQL down between the claim and the send'
        : `PostgreSQL down between the response and the commit, at ${step}`,
      (harness, random) => takeAwayAt(harness, random, step),
    ),
  ),
  infrastructureFault('PostgreSQL down before the claim', (harness, random) =>
    takeAwayAt(harness, random, 'lock_taken'),
  ),
]

/** They take turns with the faults of `storage.ts`. */
export const postgresFaults: Fault[] = faults.map((fault) => ({
  ...fault,
  async inject(harness, random) {
    using _turn = await harness.postgresTurn.take()
    await fault.inject(harness, random)
  },
}))

async function mode(
  { replicas }: Harness,
  random: Random,
  how: ProxyMode,
  isAll: boolean,
): Promise<undefined> {
  const victims = isAll ? replicas : [pick(replicas, random)]
  for (const replica of victims) setAll(replica, how)
  await delay(between(500, 5_000, random))
  for (const replica of victims) setAll(replica, 'pass')
}

function setAll({ proxies }: Replica, how: ProxyMode): void {
  proxies.postgres.set(how)
  proxies.listen.set(how)
}

async function blackHole(
  { replicas }: Harness,
  random: Random,
  isAll: boolean,
): Promise<undefined> {
  const victims = isAll ? replicas : [pick(replicas, random)]
  for (const { proxies } of victims) proxies.listen.set('hang')
  await delay(between(3_000, 9_000, random))
  for (const { proxies } of victims) proxies.listen.set('pass')
}

/** Loses the response to one statement. Returns false when no such statement was sent. */
async function loseAcknowledgement(
  { replicas, signal }: Harness,
  random: Random,
  text: string,
  part: 'nothing' | 'half',
): Promise<boolean> {
  const { proxies } = pick(replicas, random)
  const timer = new AbortController()
  const late = delay(MEET_LIMIT_MS, false, { signal: AbortSignal.any([timer.signal, signal]) })
  const lost = await Promise.race([
    proxies.postgres.loseAnswerTo(text, part).then(() => true),
    late.catch(() => false),
  ])
  timer.abort()
  proxies.postgres.loseNothing()
  return lost
}

/**
 * Stops a replica at a step and makes PostgreSQL unreachable before it continues. Returns false
 * when the step was not reached.
 */
async function takeAwayAt(harness: Harness, random: Random, step: RefreshStep): Promise<boolean> {
  const replica = pick(harness.replicas, random)
  const order = { step, signal: 'SIGSTOP' } as const
  const entry = await orderAtAll([replica], harness.journal, order, MEET_LIMIT_MS)
  if (entry === undefined) return false
  setAll(replica, 'refuse')
  replica.thaw()
  await delay(between(500, 5_000, random))
  setAll(replica, 'pass')
  return true
}
