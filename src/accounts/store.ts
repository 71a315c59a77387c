import { type Kysely, sql } from 'kysely'
import type { Grant } from '../clients/caller.ts'
import type { AccountStatus, Tables } from '../db/tables.ts'
import type { AccountKey } from './account-key.ts'

/** An account's state: everything but its tokens. */
export interface AccountState extends AccountKey {
  domain: string | null
  kind: 'oauth' | 'long_lived'
  status: AccountStatus
  generation: number
  expiresAt: Date
  refreshAt: Date | null
  nextAttemptAt: Date | null
  refreshTokenExpiresAt: Date | null
  failedAttempts: number
  lastRefreshAt: Date | null
  lastErrorCode: string | null
  lastErrorAt: Date | null
  paused: boolean
  shadow: boolean
  createdAt: Date
}

const COLUMNS = [
  'integration',
  'accountId',
  'domain',
  'kind',
  'status',
  'generation',
  'expiresAt',
  'refreshAt',
  'nextAttemptAt',
  'refreshTokenExpiresAt',
  'failedAttempts',
  'lastRefreshAt',
  'lastErrorCode',
  'lastErrorAt',
  'paused',
  'shadow',
  'createdAt',
] as const

/**
 * In the order of their keys, those behind `after`: costs the same on every page, and with however many accounts that are none
 * of the caller's. `grants` leaves only what they cover; undefined: all.
 */
export async function findAccounts(
  db: Kysely<Tables>,
  after: AccountKey | undefined,
  limit: number,
  grants: readonly Grant[] | undefined,
): Promise<AccountState[]> {
  const isBehind =
    after === undefined
      ? sql<boolean>`true`
      : sql<boolean>`(t.integration, t."accountId") > (${after.integration}, ${after.accountId}::bigint)`
  const page = db
    .selectFrom('amo_tokens as t')
    .select(COLUMNS.map((column) => `t.${column}` as const))
    .where(isBehind)
    .orderBy('t.integration')
    .orderBy('t.accountId')
    .limit(limit)
  if (grants === undefined) return page.execute()
  const whole = grants.filter(({ accountId }) => accountId === null)
  const single = grants.filter(({ accountId }) => accountId !== null)
  // Each from its own end: an integration by its place in the index, single accounts one by one.
  const pages = [
    ...whole.map(({ integration }) => page.where('t.integration', '=', integration)),
    page
      .innerJoin(
        sql<AccountKey>`unnest(${single.map(({ integration }) => integration)}::text[],
          ${single.map(({ accountId }) => accountId)}::bigint[])`.as<'g'>(
          sql`g(integration, "accountId")`,
        ),
        (join) =>
          join
            .onRef('g.integration', '=', 't.integration')
            .onRef('g.accountId', '=', 't.accountId'),
      )
      .where('t.integration', 'not in', ['', ...whole.map(({ integration }) => integration)]),
  ]
  const { rows } = await sql<AccountState>`
    select * from (${sql.join(pages, sql` union all `)}) page
    order by integration, "accountId" limit ${limit}
  `.execute(db)
  return rows
}

export function findAccount(
  db: Kysely<Tables>,
  key: AccountKey,
): Promise<AccountState | undefined> {
  return db
    .selectFrom('amo_tokens')
    .select(COLUMNS)
    .where('integration', '=', key.integration)
    .where('accountId', '=', key.accountId)
    .executeTakeFirst()
}

/** Of a paused account nothing is sent any more, not even under a claim that was made before. */
export async function setPaused(
  db: Kysely<Tables>,
  key: AccountKey,
  paused: boolean,
): Promise<void> {
  await db
    .updateTable('amo_tokens')
    .set({ paused, updatedAt: sql<Date>`clock_timestamp()` })
    .where('integration', '=', key.integration)
    .where('accountId', '=', key.accountId)
    .where('paused', '!=', paused)
    .execute()
}

/** From here on its tokens are handed out; one in another state than `pending` keeps that, and comes back as approved. */
export async function approve(db: Kysely<Tables>, key: AccountKey): Promise<void> {
  await sql`
    update amo_tokens set "approvedAt" = coalesce("approvedAt", clock_timestamp()),
      status = case when status = 'pending' then 'active' else status end, "updatedAt" = clock_timestamp()
    where integration = ${key.integration} and "accountId" = ${key.accountId}
      and ("approvedAt" is null or status = 'pending')
  `.execute(db)
}

export interface StatusCount {
  integration: string
  status: AccountStatus
  accounts: number
  /** How long the one that is overdue longest has been due, in seconds. */
  overdueSeconds: number
}

export async function countByStatus(db: Kysely<Tables>): Promise<StatusCount[]> {
  const { rows } = await sql<StatusCount>`
    select integration, status, count(*)::int as accounts,
      greatest(0, coalesce(extract(epoch from clock_timestamp() - min("nextAttemptAt")
        filter (where status in ('active', 'pending') and not paused)), 0))::float8 as "overdueSeconds"
    from amo_tokens group by integration, status order by integration, status
  `.execute(db)
  return rows
}
