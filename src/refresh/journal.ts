import type { Claim } from '../claims/claim.ts'
import { failpoint } from '../lib/failpoint.ts'
import { recordSpan } from '../lib/spans.ts'
import type { ReceivedPair } from '../pairs/received-pair.ts'
import type { RawBody } from '../provider/raw-body.ts'
import type { RefreshContext } from './context.ts'

/**
 * Step "journal": writes the response, sealed, to the journal on disk in the tick that read it. It
 * is flushed, and copied to Redis, while the commit runs (T2, T5). A pair that is nowhere else
 * survives a kill from here on, and a power loss from the flush on.
 */
export function journalResponse(
  context: RefreshContext,
  claim: Claim,
  body: RawBody,
  sentAtMs: number,
): void {
  const { inFlight, counters } = context.process
  failpoint('response_read', claim)
  const startedAt = new Date()
  const stopTimer = counters.journalSeconds.startTimer()
  const response = { ...responseOrigin(context, claim, sentAtMs), body }
  const stopFlushTimer = counters.flushSeconds.startTimer()
  const { flushed, copied } = context.responseJournal.append(response)
  stopTimer()
  failpoint('journaled', claim)
  recordSpan('amo.refresh.store', { attempt: claim.attemptId }, startedAt)
  const whenFlushed = flushed.then((isFlushed) => {
    if (!isFlushed) return
    stopFlushTimer()
    failpoint('flushed', claim)
  })
  inFlight.track(whenFlushed)
  const whenCopied = copied.then((isCopied) => {
    if (isCopied) failpoint('copied', claim)
  })
  inFlight.track(whenCopied)
}

/**
 * Returns the fence and the time of a response to the claim's token. `sentAtMs` is by
 * `Clock.nowMs`.
 */
export function responseOrigin(
  { heartbeat, claimContext }: RefreshContext,
  claim: Claim,
  sentAtMs: number,
): Omit<ReceivedPair, 'pair'> {
  const { integration, accountId, attemptId, generation, fingerprint } = claim
  const agoMs = claimContext.clock.nowMs() - sentAtMs
  return {
    integration,
    accountId,
    attemptId,
    generation,
    fingerprint,
    sentAtMs: heartbeat.nowMs() - agoMs,
  }
}
