import type { Kysely, Selectable } from 'kysely'
import type { Tables } from '../db/tables.ts'

export type PendingAccount = Pick<
  Selectable<Tables['amo_tokens']>,
  'integration' | 'accountId' | 'domain' | 'createdAt'
>

/** Returns accounts that were installed without a link and that nobody has approved. */
export function findPendingAccounts(db: Kysely<Tables>, limit: number): Promise<PendingAccount[]> {
  return db
    .selectFrom('amo_tokens')
    .select(['integration', 'accountId', 'domain', 'createdAt'])
    .where('status', '=', 'pending')
    .orderBy('integration')
    .orderBy('accountId')
    .limit(limit)
    .execute()
}
