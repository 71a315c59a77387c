import { sql } from 'kysely'
import { addStep } from '../pairs/attempt-step.ts'
import type { ClaimContext } from './claim-context.ts'
import { isBoundHere, notifyWaiters } from './conditions.ts'

/**
 * Finishes expired attempts whose token was never sent: there is nothing to resolve, and the
 * account is due again. `recordSend` refuses an expired lease, so nothing can be sent under them
 * any more.
 */
export async function finishUnsent(claimContext: ClaimContext): Promise<void> {
  await sql`
    update amo_refresh_attempts set "finishedAt" = clock_timestamp(), outcome = 'not_sent',
      ${addStep('finished', claimContext.owner, 'not_sent')}
    where "finishedAt" is null and "sendCount" = 0 and "leaseUntil" < clock_timestamp()
      and ${isBoundHere(claimContext)}
    returning ${notifyWaiters}
  `.execute(claimContext.claims)
}
