import type { ReceivedPair } from '../pairs/received-pair.ts'
import { REFUSALS, type RefusalCode } from '../provider/refusals.ts'
import { LEASE_OVER, type SendResult } from './send.ts'

/**
 * A response without a pair, or the reason why there was none, as the breakers and the metrics
 * count it.
 */
interface Failure {
  code: RefusalCode
  /** For the log: the HTTP status, or how the call failed. */
  details: { status?: number | undefined; failure?: string | undefined }
}

/** What a send means for the token, and so how the claim ends. */
export type Classification =
  /** A new pair: commit it. */
  | { kind: 'pair'; received: ReceivedPair }
  /**
   * Nothing was sent under this claim: the claim is not owned here any more, or may not be sent.
   */
  | { kind: 'not_recorded'; isReclaimed: boolean }
  /**
   * This process stopped itself before the first byte, because its lease was over: it says nothing
   * about the provider.
   */
  | { kind: 'stopped' }
  /**
   * No response within the limit. It may still arrive. `isOurDelay`: this process was stopped or
   * busy itself, so it says nothing about the provider.
   */
  | { kind: 'timed_out'; late: Promise<ReceivedPair | undefined>; isOurDelay: boolean }
  /** The token is unspent. Try again later. */
  | ({ kind: 'unspent'; retryAfterSeconds: number | undefined } & Failure)
  /** The token never left this machine. */
  | ({ kind: 'not_sent' } & Failure)
  /** The client id or the client secret was refused. The token is unspent. */
  | ({ kind: 'client_refused' } & Failure)
  /** The provider calls the token spent or revoked. To be confirmed by a probe. */
  | ({ kind: 'permanent' } & Failure)
  /** The code is on no list. To be resolved by a probe. */
  | ({ kind: 'unknown' } & Failure)
  /** The token may be spent. */
  | ({ kind: 'ambiguous' } & Failure)

/**
 * Step "classify": decides what a response means for the token (`REFUSALS`; docs/provider.md, part
 * 3). Changes nothing.
 */
export function classify(
  result: SendResult,
  { isReclaimed }: { isReclaimed: boolean },
): Classification {
  switch (result.kind) {
    case 'pair':
    case 'timed_out':
      return result
    case 'not_recorded':
      return { kind: 'not_recorded', isReclaimed }
    case 'not_written':
      if (result.failure === LEASE_OVER) return { kind: 'stopped' }
      return { kind: 'not_sent', code: 'not_reached', details: { failure: result.failure } }
  }
  const { code, status, failure, retryAfterSeconds } = result
  const refusal = { code, details: { status, failure } }
  switch (REFUSALS[code].kind) {
    case 'permanent':
      // If an owner before this one sent the token too, that send may have spent it, and its
      // response may still arrive (T7).
      return { kind: isReclaimed ? 'ambiguous' : 'permanent', ...refusal }
    case 'configuration':
      return { kind: 'client_refused', ...refusal }
    case 'not_spent':
    case 'moved':
      return { kind: 'unspent', retryAfterSeconds, ...refusal }
    case 'unknown':
      return { kind: isReclaimed ? 'ambiguous' : 'unknown', ...refusal }
    case 'ambiguous':
      return { kind: 'ambiguous', ...refusal }
  }
}
