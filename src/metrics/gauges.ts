import { sql } from 'kysely'
import { Gauge, type Registry } from 'prom-client'
import type { EndingWatch } from '../accounts/ending.ts'
import type { Database } from '../db/database.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import type { KeptAnswers } from '../refresh/kept-answers.ts'

export interface GaugeSources {
  database: Database
  heartbeat: Heartbeat
  keptAnswers: KeptAnswers
  endings: EndingWatch
}

interface Backlog {
  integration: string
  dueSeconds: number
  paceUsed: number
}

/** What is looked up when it is scraped; each look costs the same however many accounts there are. */
export function registerGauges(registry: Registry, sources: GaugeSources): void {
  const { database, heartbeat, keptAnswers, endings } = sources
  const registers = [registry]
  registerEnding(registry, endings)
  new Gauge({
    name: 'amo_echo_age_seconds',
    help: 'Since the newest heartbeat that came back through LISTEN; the cache is trusted below HEARTBEAT_MS',
    registers,
    collect() {
      this.set(Math.min(heartbeat.ageMs(), Number.MAX_SAFE_INTEGER) / 1000)
    },
  })
  new Gauge({
    name: 'amo_kept_answers_open',
    help: 'Answers of the provider on this disk that are not known to be committed',
    registers,
    collect() {
      this.set(keptAnswers.openCount)
    },
  })
  new Gauge({
    name: 'amo_claims_unresolved',
    help: 'Refreshes whose lease has run out: how their sends ended is not known yet',
    registers,
    async collect() {
      this.set(await countUnresolved(database))
    },
  })
  new Gauge({
    name: 'amo_refresh_due_age_seconds',
    help: 'How long the account in use that is overdue longest has been due; growing: the backlog does not fit the pace',
    labelNames: ['integration'] as const,
    registers,
    async collect() {
      for (const { integration, dueSeconds } of await findBacklogs(database)) {
        this.set({ integration }, dueSeconds)
      }
    },
  })
  new Gauge({
    name: 'amo_pace_used_ratio',
    help: 'Share of the pace bucket that is used up: near 1 for long, refreshes wait for PACE_PER_SECOND',
    labelNames: ['integration'] as const,
    registers,
    async collect() {
      for (const { integration, paceUsed } of await findBacklogs(database)) {
        this.set({ integration }, paceUsed)
      }
    },
  })
}

/** Of accounts that somebody has to see to. */
function registerEnding(registry: Registry, endings: EndingWatch): void {
  new Gauge({
    name: 'amo_tokens_ending',
    help: 'Accounts whose refresh token nears its three months, or whose long-lived token nears its end',
    labelNames: ['integration', 'kind'] as const,
    registers: [registry],
    collect() {
      this.reset()
      for (const { integration, kind, accounts } of endings.counts) {
        this.set({ integration, kind }, accounts)
      }
    },
  })
}

async function countUnresolved({ db }: Database): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from amo_refresh_attempts
    where "finishedAt" is null and "leaseUntil" < clock_timestamp()
  `.execute(db)
  return rows[0]?.count ?? 0
}

async function findBacklogs({ db }: Database): Promise<Backlog[]> {
  const { rows } = await sql<Backlog>`
    select i.name as integration,
      greatest(0, coalesce(extract(epoch from clock_timestamp() - (
        select min(t."nextAttemptAt") from amo_tokens t
        where t.integration = i.name and not amo_is_idle(t) and t.status in ('active', 'pending') and t.kind = 'oauth'
          and not t.paused and not t.shadow)), 0))::float8 as "dueSeconds",
      greatest(0, 1 - (i."paceTokens" + i."pacePerSecond" * extract(epoch from clock_timestamp() - i."paceAt"))
        / greatest(4, i."pacePerSecond" * 2))::float8 as "paceUsed"
    from amo_integrations i
  `.execute(db)
  return rows
}
