import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Act } from '../audit/act.ts'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import type { AccountKey } from '../lib/account-key.ts'
import { removeAccount } from './removal.ts'
import { type AccountState, accountColumns, withLabel } from './store.ts'

/** Returns whether account `t` has had no use for this number of days. */
function isLeftOver(days: number): RawBuilder<boolean> {
  return sql<boolean>`t.status in ('disconnected', 'pending', 'reauth_required')
    and t."statusSince" < now() - ${days} * interval '1 day'`
}

/**
 * Returns accounts that a clean-up would remove: those that have needed a new consent or have been
 * disconnected for `days`, and pending ones that nobody has approved. The longest first.
 */
export async function findLeftOver(
  db: Kysely<Tables>,
  days: number,
  limit: number,
): Promise<AccountState[]> {
  const { rows } = await sql<AccountState>`
    select ${accountColumns}, ${withLabel} from amo_tokens t where ${isLeftOver(days)}
    order by t."statusSince", t.integration, t."accountId" limit ${limit}
  `.execute(db)
  return rows
}

/** Returns how many accounts a clean-up would remove. */
export async function countLeftOver(db: Kysely<Tables>, days: number): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from amo_tokens t where ${isLeftOver(days)}
  `.execute(db)
  return rows[0]?.count ?? 0
}

/**
 * Removes those of the accounts that still are as a clean-up found them, each in a transaction of
 * its own. An account that was connected or removed meanwhile is left alone.
 *
 * @returns the accounts that were removed
 */
export async function cleanUp(
  database: Database,
  keys: readonly AccountKey[],
  days: number,
  act: Act,
): Promise<AccountKey[]> {
  const removed: AccountKey[] = []
  for (const key of keys) {
    const done = await removeAccount(database, key, act, isLeftOver(days))
    if (done !== undefined) removed.push(key)
  }
  return removed
}
