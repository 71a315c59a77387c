import { type Claim, logFields } from '../claims/claim.ts'
import { releaseUnsent } from '../claims/release-unsent.ts'
import type { RefreshContext } from './context.ts'

const FIRST_RETRY_MS = 200
const MAX_RETRY_MS = 2_000

/**
 * Releases a claim whose refresh broke off before its send was recorded, so that the account does
 * not wait for the end of the lease. Repeats that within the lease when the database fails; after
 * it the sweeper finishes the attempt. A send whose record was written but not acknowledged has
 * another count in the database: then nothing is released, and the attempt is resolved like any
 * other (R7). Never rejects.
 */
export async function releaseBrokenOff(
  { claimContext, process }: RefreshContext,
  claim: Claim,
): Promise<void> {
  const { clock } = claimContext
  for (let waitMs = FIRST_RETRY_MS; claim.sendCount === 0; waitMs = 2 * waitMs) {
    try {
      return await releaseUnsent(claimContext, claim)
    } catch (err) {
      process.log.debug({ err, ...logFields(claim) }, 'unsent claim not released yet')
    }
    const pauseMs = Math.min(waitMs, MAX_RETRY_MS)
    if (clock.nowMs() + pauseMs >= claim.leaseEndsAtMs) return
    await clock.sleep(pauseMs)
  }
}
