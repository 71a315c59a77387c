import type { Claim } from '../claims/claim.ts'
import { leaveUnresolved } from '../claims/leave-unresolved.ts'
import { releaseWithBackoff } from '../claims/release-with-backoff.ts'
import type { RefusalCode } from '../provider/refusals.ts'
import type { RefreshContext } from './context.ts'
import { finishDead } from './finish-dead.ts'
import { probeClaim } from './probe-claim.ts'

/**
 * Ends a claim that was refused for a reason on no list. The provider has answered, so no pair is
 * on its way: only the probe decides. Alive: tries again later. Dead: the account needs a new
 * consent, for the reason that was seen. Without a result: like an unclear send.
 */
export async function finishUnknown(
  context: RefreshContext,
  claim: Claim,
  code: RefusalCode,
): Promise<void> {
  const { claimContext } = context
  const { state } = await probeClaim(context, claim)
  switch (state) {
    case 'alive':
      return releaseWithBackoff(claimContext, claim, { code, outcome: 'refused' })
    case 'dead':
      return finishDead(context, claim, code, 'refused')
    case 'unclear':
      return leaveUnresolved(claimContext, claim, code)
  }
}
