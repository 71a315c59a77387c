import { sql } from 'kysely'
import { addStep } from '../pairs/attempt-step.ts'
import type { ClaimContext } from './claim-context.ts'
import { notifyWaiters } from './conditions.ts'

/** The pool gives up a statement earlier than this: a claim that it granted late is not used. */
const UNKNOWN_AFTER_SECONDS = 6

/**
 * Releases unsent claims of this process that it does not know: the acknowledgement of the claim
 * was lost. One that this process learns of after all is refused by `recordSend`.
 */
export async function releaseUnknown(
  claimContext: ClaimContext,
  knownAttempts: number[],
): Promise<void> {
  await sql`
    update amo_refresh_attempts set "finishedAt" = clock_timestamp(), outcome = 'not_sent',
      ${addStep('finished', claimContext.owner, 'not_sent')}
    where owner = ${claimContext.owner} and "finishedAt" is null and "sendCount" = 0
      and purpose <> 'verdict' and id <> all(${knownAttempts}::bigint[])
      and "claimedAt" < clock_timestamp() - ${UNKNOWN_AFTER_SECONDS} * interval '1 second'
    returning ${notifyWaiters}
  `.execute(claimContext.claims)
}
