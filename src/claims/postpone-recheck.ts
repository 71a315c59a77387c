import { sql } from 'kysely'
import type { Claim } from './claim.ts'
import type { ClaimContext } from './claim-context.ts'
import { recheckAt } from './recheck-plan.ts'
import { probeFinished, updateClaimed } from './update-claimed.ts'

/**
 * Finishes the probe of an account that stays `reauth_required`, and plans the next one later than
 * the last. Plans none after the refresh token's own end.
 */
export async function postponeRecheck(claimContext: ClaimContext, claim: Claim): Promise<void> {
  await updateClaimed(claimContext, claim, {
    attempt: probeFinished(claimContext, claim, 'postponed'),
    account: sql`"failedAttempts" = "failedAttempts" + 1,
      "nextAttemptAt" = case when "refreshTokenExpiresAt" > clock_timestamp()
        then ${recheckAt(sql`"failedAttempts" + 1`)} end`,
    statuses: ['reauth_required'],
  })
}
