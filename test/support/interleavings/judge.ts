import type { CallAnswer } from '../../../src/provider/call.ts'
import { findPair } from '../../../src/provider/token-endpoint.ts'

interface Sent {
  number: number
  atMs: number
  isAnswered: boolean
  /** Whether the token may be sent once more: its last send is proved not to have spent it. */
  isUnspent: boolean
}

interface Answered {
  name: string
  token: string
  send: number | undefined
  askedAtMs: number
}

/** These say that the token was not looked at; so does a 401 without a hint, for what can be read of it (provider page, part 3). */
const NOT_SPENT = new Set([403, 404, 429])

/**
 * Sees what crosses the border between the broker and the provider, and says where I1 is broken: a token sent again
 * though its last send may have spent it. Knows which pairs have arrived.
 */
export class Judge {
  readonly violations: string[] = []
  /** Refresh tokens of the pairs that an actor has received. */
  readonly arrived = new Set<string>()
  /** Tokens that lived when the provider denied it. */
  readonly denied = new Set<string>()
  readonly #settleMs: number
  readonly #now: () => number
  readonly #sent = new Map<string, Sent>()
  /** Every send, in its order. */
  readonly sends: string[] = []

  constructor(settleMs: number, now: () => number) {
    this.#settleMs = settleMs
    this.#now = now
  }

  /** The number of this send of the token. */
  onSent(token: string, actor: string): number {
    const last = this.#sent.get(token)
    if (last !== undefined && !last.isUnspent) {
      this.violations.push(
        `I1: ${actor} sends ${token} again, though its last send may have spent it`,
      )
    }
    const number = (last?.number ?? 0) + 1
    this.sends.push(token)
    this.#sent.set(token, { number, atMs: this.#now(), isAnswered: false, isUnspent: false })
    return number
  }

  /** An answer has reached an actor that lives. */
  onAnswered({ name, token, send, askedAtMs }: Answered, answer: CallAnswer): void {
    const sent = this.#sent.get(token)
    if (name === 'probe' && sent !== undefined && answer.status === 200) {
      // A refusal ends the send; without an answer it may be processed until the settle time is over.
      if (sent.isAnswered || askedAtMs >= sent.atMs + this.#settleMs) sent.isUnspent = true
    }
    if (name !== 'send') return
    if (answer.status === 200) {
      const pair = findPair(answer.body)
      if (pair !== undefined) this.arrived.add(pair.refreshToken.reveal())
      return
    }
    if (sent === undefined || sent.number !== send) return
    if (answer.status < 500) sent.isAnswered = true
    if (NOT_SPENT.has(answer.status) || isWithoutHint(answer)) sent.isUnspent = true
  }

  /** The database has forgotten these sends: nobody can know of them. */
  forgive(tokens: Iterable<string>): void {
    for (const token of tokens) {
      const sent = this.#sent.get(token)
      if (sent !== undefined) sent.isUnspent = true
    }
  }
}

function isWithoutHint({ status, body }: CallAnswer): boolean {
  if (status !== 401) return false
  try {
    return JSON.parse(body).hint === undefined
  } catch {
    return true
  }
}
