import { sql } from 'kysely'
import type { Claim } from './claim.ts'
import type { ClaimContext } from './claim-context.ts'
import { probeFinished, updateClaimed } from './update-claimed.ts'

/**
 * Disconnects an account after a disconnect hook that a probe confirmed.
 * @returns false when the row has moved on, or the claim is no longer owned here.
 */
export function disconnectAccount(claimContext: ClaimContext, claim: Claim): Promise<boolean> {
  return updateClaimed(claimContext, claim, {
    attempt: probeFinished(claimContext, claim, 'disconnected'),
    account: sql`status = 'disconnected', "nextAttemptAt" = null`,
  })
}
