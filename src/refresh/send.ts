import type { Claim } from '../claims/claim.ts'
import { hasLeaseForSend } from '../claims/lease.ts'
import { recordSend } from '../claims/record-send.ts'
import { failpoint } from '../lib/failpoint.ts'
import { inSpan } from '../lib/spans.ts'
import { withTimeout } from '../lib/with-timeout.ts'
import type { ReceivedPair } from '../pairs/received-pair.ts'
import { CallFailed, CONNECT_LIMIT_MS } from '../provider/call.ts'
import { requestTokens, type TokenResult } from '../provider/token-endpoint.ts'
import { tokenAt } from '../vault/sealed-places.ts'
import type { RefreshContext } from './context.ts'
import { journalResponse, responseOrigin } from './journal.ts'

/** The failure of a send that was stopped in the tick that writes, because the lease was over. */
export const LEASE_OVER = 'LEASE_OVER'

/** A limit that is noticed later than this was noticed late: the process was stopped, or busy. */
const LATE_TIMER_MS = 1_000

/**
 * `not_recorded`: the conditions of the claim no longer hold, and nothing was sent. `timed_out`:
 * the limit of the step is over; `late` resolves with the pair if the response arrives after all.
 */
export type SendResult =
  | { kind: 'pair'; received: ReceivedPair }
  | Exclude<TokenResult, { kind: 'pair' }>
  | { kind: 'timed_out'; late: Promise<ReceivedPair | undefined>; isOurDelay: boolean }
  | { kind: 'not_recorded' }

/**
 * Step "send", the same before every send: (a) records that the token is sent, fenced; (b)
 * connects; (c) checks the lease in the tick that writes the bytes (T6). The limit ends the step
 * but not the connection: hanging up loses pairs (T1).
 */
export function send(context: RefreshContext, claim: Claim, domain: string): Promise<SendResult> {
  return inSpan(
    'amo.refresh.send',
    { attempt: claim.attemptId, host: domain, try: claim.sendCount + 1 },
    () => recordAndSend(context, claim, domain),
    ({ kind }) => kind,
  )
}

async function recordAndSend(
  context: RefreshContext,
  claim: Claim,
  domain: string,
): Promise<SendResult> {
  const { claimContext, commitContext, provider, process } = context
  const { clock, limits } = claimContext
  const client = provider.integrations.get(claim.integration)
  // Somebody wrote where its secret is sent. It is halted now, so the claim is only released.
  if (client.isAltered) return { kind: 'not_recorded' }
  // Decrypts first, so that a missing key fails before the send is recorded.
  const { clientSecret, secretMark } = client
  const refreshToken = commitContext.keyRing.open(
    claim.refreshToken,
    tokenAt(claim, 'refreshToken'),
  )
  if (!(await recordSend(claimContext, claim))) return { kind: 'not_recorded' }
  claim.secretMark = secretMark
  if (!claimContext.hasSecondPlace())
    process.counters.sendsWithoutCopy.inc({ integration: claim.integration })
  failpoint('send_recorded', claim)
  let sentAtMs = clock.nowMs()
  const response = requestTokens(
    { ...client, clientSecret },
    domain,
    { grantType: 'refresh_token', refreshToken },
    {
      limitMs: limits.sendLimitMs + limits.lingerMs,
      beforeWrite() {
        failpoint('writing', claim)
        if (!hasLeaseForSend(claimContext, claim)) throw new CallFailed(LEASE_OVER, false)
        sentAtMs = clock.nowMs()
        setImmediate(() => failpoint('written', claim))
      },
      keep: (body) => journalResponse(context, claim, body, sentAtMs),
      call: provider.call,
    },
  ).then((result): SendResult => {
    if (result.kind !== 'pair') return result
    void provider.credentials.recordAccepted(claim.integration, secretMark)
    const received = { ...responseOrigin(context, claim, sentAtMs), pair: result.pair }
    return { kind: 'pair', received }
  })
  const limitMs = CONNECT_LIMIT_MS + limits.sendLimitMs
  const startedMs = clock.nowMs()
  const first = await withTimeout(response, limitMs, 'timed_out' as const, clock)
  if (first !== 'timed_out') return first
  const late = response.then((result) => (result.kind === 'pair' ? result.received : undefined))
  const isOurDelay = clock.nowMs() - startedMs > limitMs + LATE_TIMER_MS
  return { kind: 'timed_out', late, isOurDelay }
}
