import { sql } from 'kysely'
import type { Database } from '../db/database.ts'
import type { AccountStatus } from '../db/tables/accounts.ts'

/** Scrapes within this time share one query, however many monitors there are. */
const SHARED_MS = 2_000
/** Counting stops here: a larger number means the same. */
const MAX_COUNT = 10_000

/** What the metrics need from the database. The cost does not depend on the number of accounts. */
interface Snapshot {
  integrations: {
    integration: string
    dueAccounts: number
    dueSeconds: number
    nearExpiry: number
    paceUsed: number
  }[]
  accounts: { integration: string; status: AccountStatus; accounts: number }[]
  unresolvedClaims: number
  inboxWaiting: number
  auditUnsealed: number
  auditHeadSeconds: number
  eventsUnsequencedSeconds: number
  brokenPromises: number
  oldestDeliverySeconds: number
  endpointsDisabled: number
}

/** Queries the database for metrics, at most once in a while. */
export class DatabaseSnapshot {
  readonly #database: Database
  #newest: Promise<Snapshot> | undefined
  #endedAtMs = Number.POSITIVE_INFINITY

  constructor(database: Database) {
    this.#database = database
  }

  /**
   * Returns a snapshot that ended at most two seconds ago. Rejects when the database fails; for two
   * seconds all callers get that failure, so that a scrape waits for one query only.
   */
  get(): Promise<Snapshot> {
    if (this.#newest === undefined || performance.now() - this.#endedAtMs > SHARED_MS) {
      this.#endedAtMs = Number.POSITIVE_INFINITY
      this.#newest = this.#query()
      const onEnd = () => {
        this.#endedAtMs = performance.now()
      }
      this.#newest.then(onEnd, onEnd)
    }
    return this.#newest
  }

  async #query(): Promise<Snapshot> {
    const { db, storage } = this.#database
    if (storage.state === 'unreachable') throw new Error('PostgreSQL does not answer')
    const { rows } = await sql<{ snapshot: Snapshot }>`
      select json_build_object(
        'integrations', (select coalesce(json_agg(i), '[]') from (${integrations}) i),
        'accounts', (select coalesce(json_agg(c), '[]') from amo_account_counts c),
        'unresolvedClaims', (select count(*) from amo_refresh_attempts
          where "finishedAt" is null and "leaseUntil" < clock_timestamp()),
        'inboxWaiting', (select count(*) from (select from amo_inbox
          where "finishedAt" is null limit ${MAX_COUNT}) waiting),
        'auditUnsealed', (select count(*) from (select from amo_audit
          where mac is null limit ${MAX_COUNT}) unsealed),
        'auditHeadSeconds', coalesce((select greatest(0, extract(epoch from clock_timestamp() - at))
          from amo_audit where mac is null order by id limit 1), 0),
        'eventsUnsequencedSeconds', coalesce((select greatest(0, extract(epoch from clock_timestamp() - at))
          from amo_events where position is null order by inserted limit 1), 0),
        'brokenPromises', (select count(*) from amo_broken_promises
          where "confirmedAt" is not null),
        'oldestDeliverySeconds', coalesce((
          select extract(epoch from clock_timestamp() - min(d."createdAt"))
          from amo_deliveries d join amo_endpoints e on e.id = d."endpointId"
          where d.state = 'pending' and e.state = 'active'), 0),
        'endpointsDisabled', (select count(*) from amo_endpoints
          where state = 'disabled' and "disabledReason" <> 'operator')
      ) as snapshot
    `.execute(db)
    const [row] = rows
    if (row === undefined) throw new Error('the snapshot for metrics is empty')
    return row.snapshot
  }
}

/** Rows in use that may be refreshed, as the index amo_tokens_due has them. */
const inUse = sql`t.integration = i.name and not amo_is_idle(t)
  and t.kind = 'oauth' and not t.paused and not t.shadow`

/** The lifetimes of most tokens are equal, so few rows besides the wanted ones are read. */
const integrations = sql`
  select i.name as integration,
    (select count(*) from (select from amo_tokens t where ${inUse}
      and t.status in ('active', 'pending') and t."nextAttemptAt" <= now()
      limit ${MAX_COUNT}) due) as "dueAccounts",
    greatest(0, coalesce(extract(epoch from clock_timestamp() - (
      select min(t."nextAttemptAt") from amo_tokens t
      where ${inUse} and t.status in ('active', 'pending'))), 0)) as "dueSeconds",
    (select count(*) from amo_tokens t
      where ${inUse} and t.status = 'active' and t."refreshAt" <= now()
        and t."expiresAt" - clock_timestamp() <= (t."expiresAt" - t."issuedAt") / 10) as "nearExpiry",
    greatest(0, 1 - (i."paceTokens" + i."pacePerSecond" * extract(epoch from clock_timestamp() - i."paceAt"))
      / greatest(4, i."pacePerSecond" * 2)) as "paceUsed"
  from amo_integrations i
`
