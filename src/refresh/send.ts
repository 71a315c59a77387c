import { tokenAt } from '../accounts/sealed-tokens.ts'
import { CallFailed, CONNECT_LIMIT_MS } from '../provider/call.ts'
import { requestTokens, type TokenAnswer } from '../provider/token-endpoint.ts'
import type { Secret } from '../vault/secret.ts'
import { within } from '../within.ts'
import type { Answer } from './answer.ts'
import { type Claim, mayWrite, recordSend } from './claim.ts'
import type { Engine } from './engine.ts'
import { atStep } from './steps.ts'

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
  const { claimant, integrations, committer } = engine
  const client = integrations.get(claim.integration)
  // Whatever cannot be opened is found out before the send is written down.
  const { clientSecret, secretMark } = client
  const refreshToken = committer.keyRing.open(claim.refreshToken, tokenAt(claim, 'refreshToken'))
  if (!(await recordSend(claimant, claim))) return { kind: 'not_ours' }
  claim.secretMark = secretMark
  atStep('send_recorded', claim)
  const answered = requestTokens(
    { ...client, clientSecret },
    domain,
    { grantType: 'refresh_token', refreshToken },
    {
      limitMs: claimant.sendLimitMs + engine.lingerMs,
      beforeWrite() {
        atStep('writing', claim)
        if (!mayWrite(claimant, claim)) throw new CallFailed('LEASE_OVER', false)
        setImmediate(atStep, 'written', claim)
      },
      keep: (body, sentAtMs) => keepAnswer(engine, claim, body, sentAtMs),
    },
  ).then((answer): SendResult => {
    if (answer.kind !== 'pair') return answer
    const { pair, sentAtMs } = answer
    return { kind: 'pair', answer: { ...originOf(engine, claim, sentAtMs), pair } }
  })
  const limitMs = CONNECT_LIMIT_MS + claimant.sendLimitMs
  const first = await within(answered, limitMs, 'timed_out' as const)
  if (first !== 'timed_out') return first
  const late = answered.then((result) => (result.kind === 'pair' ? result.answer : undefined))
  return { kind: 'timed_out', late }
}

/** Step 5: on disk, sealed, in the tick that read it, and in Redis while the commit runs. */
function keepAnswer(engine: Engine, claim: Claim, body: Secret, sentAtMs: number): void {
  atStep('answered', claim)
  const kept = engine.counters.keepSeconds.startTimer()
  const { copied } = engine.keptAnswers.keep({ ...originOf(engine, claim, sentAtMs), body })
  kept()
  atStep('kept', claim)
  const whenCopied = copied.then((isCopied) => {
    if (isCopied) atStep('copied', claim)
  })
  engine.underWay.track(whenCopied)
}

/** The fence and the time of an answer to this claim's token; `sentAtMs` by `performance.now()`. */
function originOf({ heartbeat }: Engine, claim: Claim, sentAtMs: number) {
  const { integration, accountId, attemptId, generation, fingerprint } = claim
  const agoMs = performance.now() - sentAtMs
  return {
    integration,
    accountId,
    attemptId,
    generation,
    fingerprint,
    sentAtMs: heartbeat.nowMs() - agoMs,
  }
}
