import { sql } from 'kysely'
import type { Logger } from 'pino'
import type { Database } from '../db/database.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'

const HOUR_MS = 3_600_000
/** As long as somebody may ask what became of a consent. */
const KEEP_DAYS = 90
const BATCH = 1_000

/**
 * Removes finished onboardings, links and exchanges of API keys after 90 days. The fingerprint of
 * each code stays, so that none is ever taken twice. A row with a pair stays too: no pair that
 * arrived is thrown away.
 */
export class OnboardingRetention implements PeriodicWork {
  readonly name = 'onboarding retention'
  readonly intervalMs = HOUR_MS
  readonly #database: Database
  readonly #log: Logger

  constructor(database: Database, log: Logger) {
    this.#database = database
    this.#log = log
  }

  async run(): Promise<void> {
    const removed = {
      onboardings: await this.#repeat(removeInbox),
      links: await this.#repeat(removeLinks),
      exchanges: await this.#repeat(removeExchanges),
    }
    const total = Object.values(removed).reduce((sum, each) => sum + each, 0)
    if (total > 0) this.#log.info(removed, 'old onboardings removed')
  }

  /** Removes batch by batch, so that no statement holds many locks. */
  async #repeat(statement: typeof removeInbox): Promise<number> {
    let total = 0
    for (;;) {
      const { rows } = await statement.execute(this.#database.db)
      const removed = rows[0]?.removed ?? 0
      total += removed
      if (removed < BATCH) return total
    }
  }
}

const isOld = (column: string) => sql`${sql.ref(column)} < now() - ${KEEP_DAYS} * interval '1 day'`

const removeInbox = sql<{ removed: number }>`
  with old as (
    delete from amo_inbox where id in (select id from amo_inbox
      where "finishedAt" is not null and pair is null and ${isOld('receivedAt')}
      limit ${BATCH} for update skip locked)
    returning kind, fingerprint
  ), kept as (
    insert into amo_known_codes (fingerprint)
    select fingerprint from old where kind = 'callback' on conflict do nothing
  )
  select count(*)::int as removed from old
`

const removeLinks = sql<{ removed: number }>`
  with old as (
    delete from amo_connect_links where id in (select id from amo_connect_links
      where ${isOld('expiresAt')} limit ${BATCH} for update skip locked)
    returning id
  )
  select count(*)::int as removed from old
`

const removeExchanges = sql<{ removed: number }>`
  with old as (
    delete from amo_exchanges where id in (select id from amo_exchanges
      where ${isOld('createdAt')} limit ${BATCH} for update skip locked)
    returning id
  )
  select count(*)::int as removed from old
`
