import { sql } from 'kysely'
import type { AccountKey } from '../lib/account-key.ts'
import type { ClaimContext } from './claim-context.ts'
import { isBoundHere } from './conditions.ts'

/**
 * Finds the accounts that are `reauth_required` and due for another probe, the longest waiting
 * first.
 */
export async function findRechecks(
  claimContext: ClaimContext,
  limit: number,
): Promise<AccountKey[]> {
  const { rows } = await sql<AccountKey>`
    select integration, "accountId" from amo_tokens
    where status = 'reauth_required' and kind = 'oauth' and "nextAttemptAt" <= now()
      and ${isBoundHere(claimContext)}
    order by "nextAttemptAt" limit ${limit}
  `.execute(claimContext.claims)
  return rows
}
