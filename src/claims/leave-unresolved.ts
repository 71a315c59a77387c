import { sql } from 'kysely'
import { failpoint } from '../lib/failpoint.ts'
import { addStep } from '../pairs/attempt-step.ts'
import type { FailureCode } from '../provider/failures.ts'
import type { Claim } from './claim.ts'
import type { ClaimContext } from './claim-context.ts'
import { lastError, updateClaimed } from './update-claimed.ts'

/**
 * Ends the lease of a claim whose send had no clear result, and leaves the attempt unfinished. The
 * replica that reclaims it after the settle time finds out what became of the token. Until then
 * nobody sends it.
 */
export async function leaveUnresolved(
  claimContext: ClaimContext,
  claim: Claim,
  code: FailureCode,
): Promise<void> {
  await updateClaimed(claimContext, claim, {
    attempt: sql`"leaseUntil" = clock_timestamp(), "outcomeCode" = ${code},
      ${addStep('unresolved', claimContext.owner, code, claim.probed)}`,
    account: lastError(code),
  })
  failpoint('left_unresolved', claim)
}
