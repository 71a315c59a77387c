import { sql } from 'kysely'
import { addStep } from '../pairs/attempt-step.ts'
import type { ClaimContext } from './claim-context.ts'
import { isBoundHere } from './conditions.ts'

/**
 * Finishes expired attempts whose row has another pair by now: there is nothing left to send (R3).
 * A row never returns to an earlier generation, so this needs no lock on it.
 */
export async function finishSuperseded(claimContext: ClaimContext): Promise<void> {
  await sql`
    update amo_refresh_attempts a set "finishedAt" = clock_timestamp(), outcome = 'superseded',
      ${addStep('finished', claimContext.owner, 'superseded')}
    where a."finishedAt" is null and a."leaseUntil" < clock_timestamp() and ${isBoundHere(claimContext)}
      and not exists (select from amo_tokens t where t.integration = a.integration
        and t."accountId" = a."accountId" and t.generation = a.generation
        and t."refreshTokenFingerprint" = a."refreshTokenFingerprint")
  `.execute(claimContext.claims)
}
