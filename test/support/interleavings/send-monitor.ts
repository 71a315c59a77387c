import type { CallResponse } from '../../../src/provider/call.ts'
import { findPair } from '../../../src/provider/token-endpoint.ts'

interface Sent {
  number: number
  atMs: number
  isAnswered: boolean
  /** The last send is proved not to have spent the token, so it may be sent once more. */
  isUnspent: boolean
}

interface Answered {
  name: string
  token: string
  send: number | undefined
  askedAtMs: number
}

/**
 * These statuses mean that the provider did not read the token. A 401 without a hint, as far as it
 * can be read, means the same (docs/provider.md, part 3).
 */
const NOT_SPENT = new Set([403, 404, 429])

/**
 * Monitors the traffic between the broker and the provider. Reports a violation of I1 when a token
 * is sent again although its last send may have spent it. Records the pairs that have arrived.
 */
export class SendMonitor {
  readonly violations: string[] = []
  /** Refresh tokens of the pairs that an actor has received. */
  readonly arrived = new Set<string>()
  /** Live tokens that the provider reported as dead. */
  readonly denied = new Set<string>()
  /** Sends that are still to come, and whose record the database has forgotten, by token. */
  readonly #forgotten = new Map<string, number>()
  /** The token that each arrived one came of. */
  readonly #origins = new Map<string, string>()
  readonly #settleMs: number
  readonly #now: () => number
  readonly #sent = new Map<string, Sent>()
  /** Every send in its order. */
  readonly sends: string[] = []

  constructor(settleMs: number, now: () => number) {
    this.#settleMs = settleMs
    this.#now = now
  }

  /** Records a send. Returns its number for this token. */
  onSent(token: string, actor: string): number {
    const last = this.#sent.get(token)
    const forgotten = this.#forgotten.get(token) ?? 0
    if (last !== undefined && !last.isUnspent && forgotten > 0) {
      this.#forgotten.set(token, forgotten - 1)
    } else if (last !== undefined && !last.isUnspent) {
      this.violations.push(
        `I1: ${actor} sends ${token} again, though its last send may have spent it`,
      )
    }
    const number = (last?.number ?? 0) + 1
    this.sends.push(token)
    this.#sent.set(token, { number, atMs: this.#now(), isAnswered: false, isUnspent: false })
    return number
  }

  /** Records a response that has reached a live actor. */
  onAnswered({ name, token, send, askedAtMs }: Answered, answer: CallResponse): void {
    const sent = this.#sent.get(token)
    if (name === 'probe' && sent !== undefined && answer.status === 200) {
      // A refusal completes the send. Without a response it may be processed until the settle time
      // is over.
      if (sent.isAnswered || askedAtMs >= sent.atMs + this.#settleMs) sent.isUnspent = true
    }
    if (name !== 'send') return
    if (answer.status === 200) {
      const pair = findPair(answer.body)
      if (pair !== undefined) {
        this.arrived.add(pair.refreshToken.reveal())
        this.#origins.set(pair.refreshToken.reveal(), token)
      }
      return
    }
    if (sent === undefined || sent.number !== send) return
    if (answer.status < 500) sent.isAnswered = true
    if (NOT_SPENT.has(answer.status) || isWithoutHint(answer)) sent.isUnspent = true
  }

  /** Allows so many more sends of a token: the database has forgotten that they were recorded. */
  expectForgotten(token: string, count: number): void {
    if (count > 0) this.#forgotten.set(token, count)
  }

  /** From now on the database shows that the token of this pair's origin is spent. */
  onCommitted(token: string): void {
    const origin = this.#origins.get(token)
    if (origin !== undefined) this.#forgotten.delete(origin)
  }

  /** Allows these sends to be repeated, because the database has forgotten them. */
  forgive(tokens: Iterable<string>): void {
    for (const token of tokens) {
      const sent = this.#sent.get(token)
      if (sent !== undefined) sent.isUnspent = true
    }
  }
}

function isWithoutHint({ status, body }: CallResponse): boolean {
  if (status !== 401) return false
  try {
    return JSON.parse(body).hint === undefined
  } catch {
    return true
  }
}
