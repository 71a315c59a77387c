import { sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { Fence } from './fence.ts'

/**
 * Returns whether the account was removed at this generation or a later one. Then nobody may get
 * the pair any more.
 */
export async function wasRemoved(
  trx: Transaction<Tables>,
  { integration, accountId, generation }: Fence,
): Promise<boolean> {
  const { rows } = await sql`
    select from amo_removals where integration = ${integration}
      and "accountId" = ${accountId} and generation >= ${generation}
  `.execute(trx)
  return rows.length > 0
}
