import { sql } from 'kysely'
import type { Claim } from './claim.ts'
import type { ClaimContext } from './claim-context.ts'
import { notifyWaiters } from './conditions.ts'
import { probeFinished } from './update-claimed.ts'

/** Finishes a claim for a probe and leaves the account unchanged, whatever its status. */
export async function finishProbe(claimContext: ClaimContext, claim: Claim): Promise<void> {
  await sql`
    update amo_refresh_attempts set ${probeFinished(claimContext, claim, 'checked')}
    where id = ${claim.attemptId} and owner = ${claimContext.owner} and "finishedAt" is null
    returning ${notifyWaiters}
  `.execute(claimContext.claims)
}
