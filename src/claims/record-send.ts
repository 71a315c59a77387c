import { sql } from 'kysely'
import { addStep, type SendProof } from '../pairs/attempt-step.ts'
import type { Claim } from './claim.ts'
import type { ClaimContext } from './claim-context.ts'
import {
  isBreakerClosed,
  isIntegrationRunning,
  isRotated,
  leaseUntil,
  syncCommit,
} from './conditions.ts'
import { leaseMs } from './lease.ts'
import { hasSecondPlace } from './second-place.ts'

/**
 * Records, before every send, that the token is about to be sent, and renews the lease. The
 * conditions are those of the claim, as of now: the attempt is still owned here, under the same
 * count of sends, and the row has not moved on (T6, R7).
 * @returns false when one of them no longer holds. Then nothing may be sent.
 */
export async function recordSend(claimContext: ClaimContext, claim: Claim): Promise<boolean> {
  const lease = leaseMs(claimContext)
  const askedAtMs = claimContext.clock.nowMs()
  const { rows } = await sql<{ sendCount: number }>`
    update amo_refresh_attempts a
    set "sentAt" = clock_timestamp(), "sendCount" = a."sendCount" + 1, "leaseUntil" = ${leaseUntil(lease)},
      ${addStep('sent', claimContext.owner, proofOf(claim))}
    from amo_tokens t
    where a.id = ${claim.attemptId} and a.owner = ${claimContext.owner} and a."finishedAt" is null
      and a."sendCount" = ${claim.sendCount} and a."leaseUntil" > clock_timestamp()
      and t.integration = a.integration and t."accountId" = a."accountId"
      and t.generation = a.generation and t."refreshTokenFingerprint" = a."refreshTokenFingerprint"
      and ${isRotated} and ${isIntegrationRunning} and ${hasSecondPlace(claimContext)}
      and a.purpose <> 'verdict' and (a.purpose = 'canary' or ${isBreakerClosed})
      and ${syncCommit} = 'on'
    returning a."sendCount"
  `.execute(claimContext.claims)
  const [row] = rows
  if (row === undefined) return false
  claim.sendCount = row.sendCount
  claim.probed = undefined
  claim.leaseEndsAtMs = askedAtMs + lease
  return true
}

/** Returns the proof that permits this send. The history check reads it (src/history). */
function proofOf({ sendCount, probed }: Claim): SendProof {
  if (probed === 'alive') return 'after_probe'
  return sendCount === 0 ? 'first' : 'unproved'
}
