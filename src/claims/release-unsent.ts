import { sql } from 'kysely'
import { failpoint } from '../lib/failpoint.ts'
import { addStep } from '../pairs/attempt-step.ts'
import type { Claim } from './claim.ts'
import type { ClaimContext } from './claim-context.ts'
import { notifyWaiters } from './conditions.ts'

/**
 * Releases a claim whose token was never sent under it, or was proved unspent since. Leaves no
 * trace on the account, and wakes the readers that wait.
 */
export async function releaseUnsent(
  claimContext: ClaimContext,
  claim: Claim,
  isProvedUnspent = false,
): Promise<void> {
  await sql`
    update amo_refresh_attempts set "finishedAt" = clock_timestamp(), outcome = 'not_sent',
      ${addStep('finished', claimContext.owner, 'not_sent', claim.probed)}
    where id = ${claim.attemptId} and owner = ${claimContext.owner} and "finishedAt" is null
      and "sendCount" = ${claim.sendCount} and ("sendCount" = 0 or ${isProvedUnspent}::boolean)
    returning ${notifyWaiters}
  `.execute(claimContext.claims)
  failpoint('released_unsent', claim)
}
