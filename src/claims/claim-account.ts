import { sql } from 'kysely'
import type { AccountKey } from '../lib/account-key.ts'
import type { Claim } from './claim.ts'
import type { ClaimContext } from './claim-context.ts'
import { isDue } from './conditions.ts'
import { insertClaims } from './insert-claims.ts'
import type { Lane } from './pace.ts'

/**
 * Claims one account, if its locked row still has `generation`, may be refreshed, and is due.
 * @returns undefined when nothing was claimed. `findClaimRejection` finds the reason.
 */
export async function claimAccount(
  claimContext: ClaimContext,
  { integration, accountId }: AccountKey,
  generation: number,
  lane: Lane,
): Promise<Claim | undefined> {
  const due = sql`
    t."accountId" = ${accountId} and t.generation = ${generation} and ${isDue}
    for no key update of t`
  const [claim] = await insertClaims(claimContext, { integration, lane, purpose: 'refresh', due })
  return claim
}
