import { type Kysely, type RawBuilder, type Selectable, sql } from 'kysely'
import type { Act } from '../audit/act.ts'
import type { AccountStatus } from '../db/tables/accounts.ts'
import type { Tables } from '../db/tables.ts'
import type { AccountKey } from '../lib/account-key.ts'
import { searchVector } from './label-words.ts'

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
  'statusSince',
  'accessDeadAt',
  'lastReadAt',
  'createdAt',
] as const

/** The state of an account, without its tokens. */
export type AccountState = Pick<Selectable<Tables['amo_tokens']>, (typeof COLUMNS)[number]> & {
  /** The name that an operator has given the account; null: none. */
  label: string | null
}

/** The columns of `AccountState` of account `t`. */
export const accountColumns: RawBuilder<unknown> = sql.join(
  COLUMNS.map((column) => sql.ref(`t.${column}`)),
)

/** The label of account `t`; null: none. */
export const withLabel: RawBuilder<unknown> = sql`(select l.label from amo_account_labels l
  where l.integration = t.integration and l."accountId" = t."accountId") as label`

/** @returns undefined when there is no such account */
export async function findAccount(
  db: Kysely<Tables>,
  key: AccountKey,
): Promise<AccountState | undefined> {
  const { rows } = await sql<AccountState>`
    select ${accountColumns}, ${withLabel} from amo_tokens t
    where t.integration = ${key.integration} and t."accountId" = ${key.accountId}
  `.execute(db)
  return rows[0]
}

/**
 * Pauses or resumes an account. Nothing is sent for a paused account, not even under an earlier
 * claim.
 */
export async function setPaused(
  db: Kysely<Tables>,
  key: AccountKey,
  paused: boolean,
  act: Act,
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await trx
      .updateTable('amo_tokens')
      .set({ paused, updatedAt: sql<Date>`clock_timestamp()` })
      .where('integration', '=', key.integration)
      .where('accountId', '=', key.accountId)
      .where('paused', '!=', paused)
      .execute()
    await act.record(trx, { account: key })
  })
}

/** Returns the accounts of these keys that exist, ordered by key. */
export async function findAccountsByKeys(
  db: Kysely<Tables>,
  keys: readonly AccountKey[],
): Promise<AccountState[]> {
  if (keys.length === 0) return []
  const { rows } = await sql<AccountState>`
    select ${accountColumns}, ${withLabel} from amo_tokens t
    join unnest(${keys.map(({ integration }) => integration)}::text[],
      ${keys.map(({ accountId }) => accountId)}::bigint[]) k(integration, "accountId")
      using (integration, "accountId")
    order by t.integration, t."accountId"
  `.execute(db)
  return rows
}

/** Names an account for operators; null removes the name. */
export async function setLabel(
  db: Kysely<Tables>,
  { integration, accountId }: AccountKey,
  label: string | null,
  act: Act,
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    if (label === null) {
      await trx
        .deleteFrom('amo_account_labels')
        .where('integration', '=', integration)
        .where('accountId', '=', accountId)
        .execute()
    } else {
      // Nothing is inserted for an account that was removed meanwhile.
      await sql`
        insert into amo_account_labels (integration, "accountId", label, words)
        select t.integration, t."accountId", ${label}, ${searchVector(label)}::tsvector
        from amo_tokens t where t.integration = ${integration} and t."accountId" = ${accountId}
        for key share of t
        on conflict (integration, "accountId") do update
          set label = excluded.label, words = excluded.words, "updatedAt" = clock_timestamp()
      `.execute(trx)
    }
    await act.record(trx)
  })
}

/**
 * Approves an account: its tokens are handed out from now on. A status other than `pending` stays,
 * and the account keeps the approval.
 */
export async function approve(db: Kysely<Tables>, key: AccountKey, act: Act): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await sql`
      update amo_tokens set "approvedAt" = coalesce("approvedAt", clock_timestamp()),
        status = case when status = 'pending' then 'active' else status end, "updatedAt" = clock_timestamp()
      where integration = ${key.integration} and "accountId" = ${key.accountId}
        and ("approvedAt" is null or status = 'pending')
    `.execute(trx)
    await act.record(trx)
  })
}

/** Returns the numbers of accounts by integration and status. */
export function findAccountCounts(
  db: Kysely<Tables>,
): Promise<Selectable<Tables['amo_account_counts']>[]> {
  return db.selectFrom('amo_account_counts').selectAll().execute()
}

interface StatusCount {
  integration: string
  status: AccountStatus
  accounts: number
  /** For how long the most overdue account has been due, in seconds. */
  overdueSeconds: number
}

/** Counts the accounts of each integration by status. Costs the same however many there are. */
export async function countByStatus(db: Kysely<Tables>): Promise<StatusCount[]> {
  const { rows } = await sql<StatusCount>`
    select c.integration, c.status, c.accounts, greatest(0, coalesce(
      extract(epoch from clock_timestamp() - due."nextAttemptAt"), 0))::float8 as "overdueSeconds"
    from amo_account_counts c
    left join lateral (
      select t."nextAttemptAt" from amo_tokens t
      where t.integration = c.integration and t.status = c.status and c.status in ('active', 'pending')
        and not t.paused and not t.shadow
      order by coalesce(t."nextAttemptAt", 'infinity') limit 1
    ) due on true
    order by c.integration, c.status
  `.execute(db)
  return rows
}
