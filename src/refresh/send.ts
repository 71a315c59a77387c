import { setTimeout as delay } from 'node:timers/promises'
import { tokenAt } from '../accounts/sealed-tokens.ts'
import { CallFailed, CONNECT_LIMIT_MS } from '../provider/call.ts'
import { requestTokens, type TokenAnswer } from '../provider/token-endpoint.ts'
import type { Answer } from './answer.ts'
import { type Claim, mayWrite, recordSend } from './claim.ts'
import type { Engine } from './engine.ts'

/** `late` is the answer of a send that took too long: it may still come, and is kept when it does. */
export type SendResult =
  | { kind: 'pair'; answer: Answer }
  | Exclude<TokenAnswer, { kind: 'pair' }>
  | { kind: 'timed_out'; late: Promise<Answer | undefined> }
  | { kind: 'not_ours' }

/**
 * Step 4, before every send alike: (a) write down that the token is sent, fenced; (b) connect; (c) look at the clock in
 * the tick that writes the bytes. The time limit ends the step and not the connection: hanging up is what loses
 * pairs. Step 5 is in `keepAnswer`.
 */
export async function send(engine: Engine, claim: Claim, domain: string): Promise<SendResult> {
  const { claimant, integrations, committer, heartbeat } = engine
  const client = integrations.get(claim.integration)
  // Whatever cannot be opened is found out before the send is written down.
  const { clientSecret } = client
  const refreshToken = committer.keyRing.open(claim.refreshToken, tokenAt(claim, 'refreshToken'))
  if (!(await recordSend(claimant, claim))) return { kind: 'not_ours' }
  const answered = requestTokens(
    { ...client, clientSecret },
    domain,
    { grantType: 'refresh_token', refreshToken },
    {
      limitMs: claimant.sendLimitMs + engine.lingerMs,
      beforeWrite() {
        if (!mayWrite(claimant, claim)) throw new CallFailed('LEASE_OVER', false)
      },
    },
  ).then((answer): SendResult => {
    if (answer.kind !== 'pair') return answer
    const sentAtMs = heartbeat.nowMs() - (performance.now() - answer.sentAtMs)
    return { kind: 'pair', answer: keepAnswer(engine, claim, { ...answer, sentAtMs }) }
  })
  const limit = new AbortController()
  const timedOut = delay(CONNECT_LIMIT_MS + claimant.sendLimitMs, 'timed_out' as const, limit)
  const first = await Promise.race([answered, timedOut.catch(() => 'timed_out' as const)])
  limit.abort()
  if (first !== 'timed_out') return first
  const late = answered.then((result) => (result.kind === 'pair' ? result.answer : undefined))
  return { kind: 'timed_out', late }
}

/** Step 5: on disk, sealed, in the tick that read it. A disk that fails leaves the pair in memory and to the commit. */
function keepAnswer(
  { spool, log }: Engine,
  claim: Claim,
  { pair, sentAtMs }: Pick<Answer, 'pair' | 'sentAtMs'>,
): Answer {
  const { integration, accountId, attemptId, generation, fingerprint } = claim
  const answer = { integration, accountId, attemptId, generation, fingerprint, pair, sentAtMs }
  try {
    spool.keep(answer)
  } catch (error) {
    log.error({ err: error, integration, account: accountId }, 'answer could not be kept on disk')
  }
  return answer
}
