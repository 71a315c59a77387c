import { type Claim, logFields } from '../claims/claim.ts'
import { leaveUnresolved } from '../claims/leave-unresolved.ts'
import { releaseAtOnce } from '../claims/release-at-once.ts'
import { releaseUnsent } from '../claims/release-unsent.ts'
import { releaseWithBackoff } from '../claims/release-with-backoff.ts'
import type { ReceivedPair } from '../pairs/received-pair.ts'
import { countRefusal, countSuccess } from './breaker.ts'
import type { Classification } from './classify.ts'
import { commitLateResponse, commitWithRetry } from './commit.ts'
import type { RefreshContext } from './context.ts'
import type { CountedEnd } from './counters.ts'
import { finishRefused } from './finish-refused.ts'
import { finishUnknown } from './finish-unknown.ts'
import { probeClaim } from './probe-claim.ts'
import { swapSecret } from './swap-secret.ts'

/**
 * Step "finish": ends the claim according to the classification. Every end notifies the waiting
 * readers.
 */
export async function finish(
  context: RefreshContext,
  claim: Claim,
  classification: Classification,
): Promise<void> {
  const { claimContext, process } = context
  const { log } = process
  switch (classification.kind) {
    case 'pair':
      return finishWithPair(context, claim, classification.received)
    case 'not_recorded':
      return releaseUnsent(claimContext, claim, classification.isReclaimed)
    case 'stopped':
      log.warn(logFields(claim), 'refresh not sent: the lease was over before the first byte')
      return releaseUnsent(claimContext, claim, true)
    case 'timed_out':
      commitLateResponse(context, classification.late)
      log.warn(logFields(claim), 'no response to a refresh within the limit')
      countEnd(context, claim, 'no_answer')
      if (!classification.isOurDelay) await countRefusal(context, claim, 'no_answer')
      return leaveUnresolved(claimContext, claim, 'no_answer')
  }
  const { kind, code, details } = classification
  log.warn({ ...logFields(claim), kind, code, ...details }, 'refresh refused')
  countEnd(context, claim, code)
  // Before the claim is released: the slot that it frees must find the breaker open.
  await countRefusal(context, claim, code)
  switch (kind) {
    case 'not_sent':
      return releaseWithBackoff(claimContext, claim, { code, outcome: 'not_sent' })
    case 'unspent': {
      const { retryAfterSeconds } = classification
      return releaseWithBackoff(claimContext, claim, {
        code,
        outcome: 'refused',
        retryAfterSeconds,
      })
    }
    case 'client_refused':
      if (await swapSecret(context, claim, code)) return releaseAtOnce(claimContext, claim, code)
      return releaseWithBackoff(claimContext, claim, { code, outcome: 'refused' })
    case 'permanent':
      return finishRefused(context, claim, code)
    case 'unknown':
      log.error({ ...logFields(claim), code }, 'refusal of an unknown kind')
      return finishUnknown(context, claim, code)
    case 'ambiguous':
      if (code === 'token_revoked') await countReuse(context, claim)
      return leaveUnresolved(claimContext, claim, code)
  }
}

/**
 * Counts a token that was refused as spent although an earlier owner had sent it as well. A token
 * that a probe reports alive is not counted: such refusals have been wrong (T10).
 */
async function countReuse(context: RefreshContext, claim: Claim): Promise<void> {
  const { state } = await probeClaim(context, claim)
  if (state !== 'alive') context.process.counters.reuseSuspected.inc()
}

async function finishWithPair(
  context: RefreshContext,
  claim: Claim,
  received: ReceivedPair,
): Promise<void> {
  const { result } = await commitWithRetry(context, received)
  countEnd(context, claim, result)
  if (result !== 'foreign') return countSuccess(context, claim)
  await countRefusal(context, claim, 'unreadable_answer')
  return leaveUnresolved(context.claimContext, claim, 'unreadable_answer')
}

function countEnd({ process }: RefreshContext, claim: Claim, end: CountedEnd): void {
  process.counters.onEnd(claim, end)
}
