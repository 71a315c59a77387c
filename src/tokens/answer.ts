import type { AccountKey } from '../accounts/account-key.ts'
import { Tally } from '../audit/log.ts'
import type { Integration } from '../integrations/service.ts'
import { SECURITY_HEADERS } from '../plugins/security-headers.ts'
import type { HeldToken } from './held-token.ts'

/** Something the caller should know though it got a token. */
export const WARNINGS = [
  'refresh_pending',
  'provider_unavailable',
  'reauth_required',
  'min_ttl_capped',
  'paused',
  'shadow',
] as const
export type Warning = (typeof WARNINGS)[number]

/** How a token is handed out besides what it is. */
export interface Handing {
  nowMs: number
  /** Kept from before PostgreSQL fell silent. */
  isStale: boolean
  warning?: Warning | undefined
}

/** Of every answer alike. */
const HEADERS = [
  ...['content-type', 'application/json; charset=utf-8'],
  ...SECURITY_HEADERS.filter(([name]) => name !== 'cache-control').flat(),
]

/**
 * The answer of `GET /tokens/:account` (schemas.ts says what each field means). What is true as long as the token is put
 * together once, the seconds that are left once a second: so a hit costs no JSON, and `expires_in` is true.
 */
export class TokenAnswer {
  readonly account: AccountKey
  readonly generation: number
  readonly isStale: boolean
  /** For the audit. */
  readonly outcome: string
  readonly tally = new Tally()
  readonly etag: string
  /** Plain ASCII, as almost always, need not be encoded when it is written. */
  readonly encoding: 'latin1' | 'utf8'
  cacheControl = ''
  /** All that the answer takes besides Node's own, name after value after name. */
  headers: string[] = []
  readonly #expiresAtMs: number
  readonly #useUntilMs: number
  /** Up to the token, the token, and the rest: joined when it is sent, so that each token is held once. */
  readonly #before: string
  readonly #token: string
  #after = ''
  readonly #lastingBytes: number
  #second = 0

  constructor(held: HeldToken, integration: Integration, { nowMs, isStale, warning }: Handing) {
    const { accountId, domain, generation } = held
    this.account = { integration: held.integration, accountId }
    this.generation = generation
    this.isStale = isStale
    this.outcome = isStale ? 'stale' : (warning ?? 'done')
    this.#expiresAtMs = held.expiresAtMs
    // Past its promise a token may be rotated at any moment: no new promise is made.
    this.#useUntilMs = Math.max(nowMs, held.useUntilMs)
    const token = held.accessToken().reveal()
    const quoted = JSON.stringify(token)
    // Almost always nothing is escaped: then it is the token's own text.
    this.#token = quoted.length === token.length + 2 ? token : quoted.slice(1, -1)
    const withoutToken = JSON.stringify({
      account_id: accountId,
      integration: held.integration,
      domain,
      api_url: integration.sandboxOrigin ?? `https://${domain ?? held.apiDomain}`,
      token_type: 'Bearer',
      expires_at: new Date(held.expiresAtMs).toISOString(),
      use_until: new Date(this.#useUntilMs).toISOString(),
      generation,
      ...(isStale ? { stale: true } : {}),
      ...(warning === undefined ? {} : { warning }),
      access_token: '',
    })
    this.#before = withoutToken.slice(0, -'"}'.length)
    this.#lastingBytes = Buffer.byteLength(this.#before) + Buffer.byteLength(this.#token)
    const isAscii = this.#lastingBytes === this.#before.length + this.#token.length
    this.encoding = isAscii ? 'latin1' : 'utf8'
    const state = [held.integration, accountId, generation, held.useUntilMs, isStale, warning ?? '']
    this.etag = `"${state.join('.')}"`
    this.at(nowMs)
  }

  /** As it is to be sent at that time, PostgreSQL's. */
  at(nowMs: number): this {
    const second = Math.floor(nowMs / 1000)
    if (second === this.#second) return this
    this.#second = second
    const expiresIn = Math.max(0, Math.floor((this.#expiresAtMs - nowMs) / 1000))
    const useFor = Math.floor((this.#useUntilMs - nowMs) / 1000)
    this.#after = ['","expires_in":', expiresIn, ',"use_for":', useFor, '}'].join('')
    this.cacheControl = `private, max-age=${useFor}`
    this.headers = [
      ...['content-length', String(this.#lastingBytes + this.#after.length)],
      ...['cache-control', this.cacheControl],
      ...['etag', this.etag],
      ...HEADERS,
    ]
    return this
  }

  /** JSON. A string, not bytes: Node writes it in one piece with the header. */
  get body(): string {
    return this.#before + this.#token + this.#after
  }
}

/** The answer without a warning: put together once as long as the token is held. */
export function answerOf(
  held: HeldToken,
  integration: Integration,
  handing: Omit<Handing, 'warning'>,
): TokenAnswer {
  const { nowMs, isStale } = handing
  // Past its promise each one says its own time.
  if (nowMs >= held.useUntilMs) return new TokenAnswer(held, integration, handing)
  if (held.answer?.isStale !== isStale) held.answer = new TokenAnswer(held, integration, handing)
  return held.answer.at(nowMs)
}

/** Why a token is handed out without a promise. */
export function warningFor(held: HeldToken, isBehindBreaker: boolean): Warning {
  if (held.status === 'reauth_required') return 'reauth_required'
  if (held.shadow) return 'shadow'
  if (held.paused) return 'paused'
  return held.failedAttempts > 0 || isBehindBreaker ? 'provider_unavailable' : 'refresh_pending'
}
