import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import type { Step } from '../../../src/refresh/steps.ts'
import type { ProxyMode } from '../../support/proxy.ts'
import { orderAtAll } from '../order-at-all.ts'
import type { Replica } from '../replica.ts'
import type { Stage } from '../stage.ts'
import { between, type Fault, pick, type Random } from './fault.ts'
import { untilHealthy } from './healthy.ts'

const MEET_LIMIT_MS = 20_000

/** A statement of the broker whose answer is lost after the server has carried it out: a part of its text. */
const STATEMENTS = {
  'the commit of a new pair': 'commit\0',
  'a claim': 'insert into amo_refresh_attempts',
  'the note of a send': '"sendCount" + 1',
} as const

export const postgresFaults: Fault[] = [
  onPostgres('PostgreSQL down for all', (stage, random) => mode(stage, random, 'refuse', true)),
  onPostgres('PostgreSQL down for one replica', (stage, random) =>
    mode(stage, random, 'refuse', false),
  ),
  onPostgres('PostgreSQL hanging for all', (stage, random) => mode(stage, random, 'hang', true)),
  onPostgres('PostgreSQL hanging for one replica', (stage, random) =>
    mode(stage, random, 'hang', false),
  ),
  onPostgres('PostgreSQL slow', async ({ replicas }, random) => {
    for (const { proxies } of replicas) proxies.postgres.slow(between(20, 150, random))
    await delay(between(2_000, 5_000, random))
    for (const { proxies } of replicas) proxies.postgres.slow(0)
  }),
  onPostgres('PostgreSQL ends all connections', async ({ vault }) => {
    await sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name = 'amo-token-broker'
        and pid <> pg_backend_pid()`.execute(vault.db)
  }),
  onPostgres('LISTEN black-holed for all', (stage, random) => blackHole(stage, random, true)),
  onPostgres('LISTEN black-holed for one', (stage, random) => blackHole(stage, random, false)),
  ...Object.entries(STATEMENTS).flatMap(([what, text]) =>
    (['nothing', 'half'] as const).map((part) =>
      onPostgres(
        `acknowledgement of ${what} lost${part === 'half' ? ', cut in half' : ''}`,
        (stage, random) => loseAcknowledgement(stage, random, text, part),
      ),
    ),
  ),
  ...(['claimed', 'answered', 'kept', 'commit_prepared'] as const).map((step) =>
    onPostgres(
      step === 'claimed'
        ? 'PostgreSQL down between the claim and the send'
        : `PostgreSQL down between the answer and the commit, at ${step}`,
      (stage, random) => takeAwayAt(stage, random, step),
    ),
  ),
  onPostgres('PostgreSQL down before the claim', (stage, random) =>
    takeAwayAt(stage, random, 'lock_taken'),
  ),
]

function onPostgres(
  name: string,
  work: (stage: Stage, random: Random) => Promise<boolean | undefined>,
): Fault {
  return {
    name,
    async inject(stage, random) {
      const incident = stage.incidents.begin(name)
      if ((await work(stage, random)) === false) return stage.incidents.drop(incident)
      const tookMs = await untilHealthy(stage)
      return stage.incidents.end(
        incident,
        tookMs === undefined ? 'NOT RECOVERED' : 'healthy',
        tookMs,
      )
    },
  }
}

async function mode(
  { replicas }: Stage,
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

async function blackHole({ replicas }: Stage, random: Random, isAll: boolean): Promise<undefined> {
  const victims = isAll ? replicas : [pick(replicas, random)]
  for (const { proxies } of victims) proxies.listen.set('hang')
  await delay(between(3_000, 9_000, random))
  for (const { proxies } of victims) proxies.listen.set('pass')
}

/** False: nobody sent such a statement. */
async function loseAcknowledgement(
  { replicas, signal }: Stage,
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

/** A replica is stopped at a step, and finds PostgreSQL gone when it goes on. False: it did not come to it. */
async function takeAwayAt(stage: Stage, random: Random, step: Step): Promise<boolean> {
  const replica = pick(stage.replicas, random)
  const order = { step, signal: 'SIGSTOP' } as const
  const entry = await orderAtAll([replica], stage.journal, order, MEET_LIMIT_MS)
  if (entry === undefined) return false
  setAll(replica, 'refuse')
  replica.thaw()
  await delay(between(500, 5_000, random))
  setAll(replica, 'pass')
  return true
}
