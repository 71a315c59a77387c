import type { Kysely } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import type { AccountKey } from '../lib/account-key.ts'

export type AccountOnboarding = Pick<
  Row<'amo_inbox'>,
  'id' | 'kind' | 'origin' | 'receivedAt' | 'finishedAt' | 'outcome'
>

/** Returns the consents, installs and disconnects of an account, the newest first. */
export function findAccountOnboardings(
  db: Kysely<Tables>,
  { integration, accountId }: AccountKey,
  limit: number,
): Promise<AccountOnboarding[]> {
  return db
    .selectFrom('amo_inbox')
    .select(['id', 'kind', 'origin', 'receivedAt', 'finishedAt', 'outcome'])
    .where('integration', '=', integration)
    .where('accountId', '=', accountId)
    .orderBy('receivedAt', 'desc')
    .limit(limit)
    .execute()
}
