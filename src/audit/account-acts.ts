import { type Kysely, sql } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import type { AccountKey } from '../lib/account-key.ts'

export type AccountAct = Pick<Row<'amo_audit'>, 'at' | 'actor' | 'action' | 'outcome'>

/** Reads are counted in the audit, too. The list is that of an index. */
const isAct = sql<boolean>`action not in
  ('readToken', 'reportToken', 'showAccount', 'listAttempts', 'listReaders')`

/** Returns what was done with an account, without reads, the newest first. */
export function findAccountActs(
  db: Kysely<Tables>,
  { integration, accountId }: AccountKey,
  limit: number,
): Promise<AccountAct[]> {
  return db
    .selectFrom('amo_audit')
    .select(['at', 'actor', 'action', 'outcome'])
    .where('integration', '=', integration)
    .where('accountId', '=', accountId)
    .where(isAct)
    .orderBy('id', 'desc')
    .limit(limit)
    .execute()
}
