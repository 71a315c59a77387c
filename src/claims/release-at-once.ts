import { sql } from 'kysely'
import { failpoint } from '../lib/failpoint.ts'
import { addStep } from '../pairs/attempt-step.ts'
import type { FailureCode } from '../provider/failures.ts'
import type { Claim } from './claim.ts'
import type { ClaimContext } from './claim-context.ts'
import { lastError, updateClaimed } from './update-claimed.ts'

/**
 * Releases a claim whose token is unspent, and makes the account due at once: what was refused has
 * been replaced since.
 */
export async function releaseAtOnce(
  claimContext: ClaimContext,
  claim: Claim,
  code: FailureCode,
): Promise<void> {
  await updateClaimed(claimContext, claim, {
    attempt: sql`"finishedAt" = clock_timestamp(), outcome = 'refused', "outcomeCode" = ${code},
      ${addStep('finished', claimContext.owner, code, claim.probed)}`,
    account: sql`${lastError(code)}, "nextAttemptAt" = clock_timestamp()`,
  })
  failpoint('released_with_backoff', claim)
}
