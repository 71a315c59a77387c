import type { Static } from 'typebox'
import { Tally } from '../../audit/log.ts'
import type { TokenSchema } from '../../contract/tokens.ts'
import type { AccountKey } from '../../lib/account-key.ts'
import type { TokenDecision } from '../../tokens/decision.ts'

/** The members that do not change while the token is cached. */
type LastingMembers = Omit<Static<typeof TokenSchema>, 'expires_in' | 'use_for'>

/**
 * A rendered token. What lasts as long as the token is rendered once, the remaining seconds once a
 * second. So a hit renders no JSON, and `expires_in` is still true.
 */
export class TokenResponse {
  readonly account: AccountKey
  readonly generation: number
  readonly isStale: boolean
  /** For the audit. */
  readonly outcome: string
  readonly tally = new Tally()
  readonly etag: string
  /** Text that is only ASCII, as almost always, is written without encoding it. */
  readonly encoding: 'latin1' | 'utf8'
  readonly #expiresAtMs: number
  readonly #useUntilMs: number
  /**
   * The text before the token, the token, and the rest. They are joined when sent, so that each
   * token is stored once.
   */
  readonly #before: string
  readonly #token: string
  #after = ''
  readonly #lastingBytes: number
  #second = 0

  constructor({ token, apiUrl, nowMs, useUntilMs, isStale, warning }: TokenDecision) {
    const { integration, accountId, domain, generation } = token
    this.account = { integration, accountId }
    this.generation = generation
    this.isStale = isStale
    this.outcome = isStale ? 'stale' : (warning ?? 'done')
    this.#expiresAtMs = token.expiresAtMs
    this.#useUntilMs = useUntilMs
    const text = token.accessToken().reveal()
    const quoted = JSON.stringify(text)
    // Almost always nothing is escaped, and the token's own string can be used.
    this.#token = quoted.length === text.length + 2 ? text : quoted.slice(1, -1)
    const lasting: LastingMembers = {
      account_id: accountId,
      integration,
      domain,
      api_url: apiUrl,
      token_type: 'Bearer',
      expires_at: new Date(token.expiresAtMs).toISOString(),
      use_until: new Date(useUntilMs).toISOString(),
      generation,
      ...(isStale ? { stale: true } : {}),
      ...(warning === undefined ? {} : { warning }),
      access_token: '',
    }
    this.#before = JSON.stringify(lasting).slice(0, -'"}'.length)
    this.#lastingBytes = Buffer.byteLength(this.#before) + Buffer.byteLength(this.#token)
    const isAscii = this.#lastingBytes === this.#before.length + this.#token.length
    this.encoding = isAscii ? 'latin1' : 'utf8'
    // The promise of the token: after its end `use_until` is the time of the response.
    const state = [integration, accountId, generation, token.useUntilMs, isStale, warning ?? '']
    this.etag = `"${state.join('.')}"`
    this.at(nowMs)
  }

  /**
   * Renders the remaining seconds for this time of PostgreSQL, unless that was done within the same
   * second.
   */
  at(nowMs: number): this {
    const second = Math.floor(nowMs / 1000)
    if (second === this.#second) return this
    this.#second = second
    const expiresIn = Math.max(0, Math.floor((this.#expiresAtMs - nowMs) / 1000))
    const useFor = Math.floor((this.#useUntilMs - nowMs) / 1000)
    this.#after = ['","expires_in":', expiresIn, ',"use_for":', useFor, '}'].join('')
    return this
  }

  /** The length of the body in bytes. */
  get length(): number {
    return this.#lastingBytes + this.#after.length
  }

  /** The JSON as a string, because Node writes a string in one piece with the headers. */
  get body(): string {
    return this.#before + this.#token + this.#after
  }
}
