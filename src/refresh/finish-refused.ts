import { type Claim, logFields } from '../claims/claim.ts'
import { hasEarlierSend } from '../claims/has-earlier-send.ts'
import { releaseWithBackoff } from '../claims/release-with-backoff.ts'
import type { RefusalCode } from '../provider/refusals.ts'
import type { RefreshContext } from './context.ts'
import { finishDead } from './finish-dead.ts'
import { probeClaim } from './probe-claim.ts'

/**
 * Ends a claim whose token the provider calls spent or revoked. That is believed only when a probe
 * does not say that the token is alive: such refusals have been wrong (T10).
 */
export async function finishRefused(
  context: RefreshContext,
  claim: Claim,
  code: RefusalCode,
): Promise<void> {
  const { claimContext, process } = context
  const probe = await probeClaim(context, claim)
  if (probe.state === 'alive') {
    process.log.error({ ...logFields(claim), code }, 'refresh token refused but alive')
    return releaseWithBackoff(claimContext, claim, { code, outcome: 'refused' })
  }
  const isSpent = code === 'token_revoked'
  const isSpentElsewhere = isSpent && !(await hasEarlierSend(claimContext, claim))
  if (isSpent && !isSpentElsewhere) process.counters.reuseSuspected.inc()
  return finishDead(context, claim, isSpentElsewhere ? 'spent_elsewhere' : code, 'refused')
}
