import { sql } from 'kysely'
import type { Claim } from './claim.ts'
import type { ClaimContext } from './claim-context.ts'
import { probeFinished, updateClaimed } from './update-claimed.ts'

/**
 * Puts an account that is `reauth_required` back to work, because the provider says that its
 * refresh token is alive (T10). It is due at once.
 * @returns false when the row has moved on, or the claim is no longer owned here.
 */
export function reviveAccount(claimContext: ClaimContext, claim: Claim): Promise<boolean> {
  return updateClaimed(claimContext, claim, {
    attempt: probeFinished(claimContext, claim, 'revived'),
    account: sql`status = case when "approvedAt" is null then 'pending' else 'active' end,
      "failedAttempts" = 0, "nextAttemptAt" = clock_timestamp(),
      "lastErrorCode" = null, "lastErrorAt" = null`,
    statuses: ['reauth_required'],
  })
}
