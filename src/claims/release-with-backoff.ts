import { sql } from 'kysely'
import { failpoint } from '../lib/failpoint.ts'
import { addStep } from '../pairs/attempt-step.ts'
import type { FailureCode } from '../provider/failures.ts'
import type { Claim } from './claim.ts'
import type { ClaimContext } from './claim-context.ts'
import { lastError, updateClaimed } from './update-claimed.ts'

/** Failures double the wait from one second up to this. A blocked address can last for hours. */
const MAX_BACKOFF_SECONDS = 600

interface Backoff {
  code: FailureCode
  outcome: 'refused' | 'not_sent'
  /** The provider's `Retry-After`, in seconds. */
  retryAfterSeconds?: number | undefined
}

/**
 * Releases a claim whose token is unspent, and plans the next try after a wait that doubles with
 * every failure. The wait is spread by 25 %, so that accounts that failed together do not return
 * together. It is never shorter than what the provider asked for.
 */
export async function releaseWithBackoff(
  claimContext: ClaimContext,
  claim: Claim,
  { code, outcome, retryAfterSeconds = 0 }: Backoff,
): Promise<void> {
  await updateClaimed(claimContext, claim, {
    attempt: sql`"finishedAt" = clock_timestamp(), outcome = ${outcome}, "outcomeCode" = ${code},
      ${addStep('finished', claimContext.owner, code, claim.probed)}`,
    account: sql`"failedAttempts" = "failedAttempts" + 1, ${lastError(code)},
      "nextAttemptAt" = clock_timestamp() + interval '1 second' * greatest(
        ${retryAfterSeconds}::float8 * (1 + random() / 4),
        (0.75 + random() / 2) * least(${MAX_BACKOFF_SECONDS}, 2 ^ least("failedAttempts", 20)))`,
  })
  failpoint('released_with_backoff', claim)
}
