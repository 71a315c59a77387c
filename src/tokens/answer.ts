import type { AccountKey } from '../accounts/account-key.ts'
import { Tally } from '../audit/log.ts'
import type { Integration } from '../integrations/service.ts'
import { SECURITY_HEADERS } from '../plugins/security-headers.ts'
import type { HeldToken } from './cache.ts'

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

/** Where in `TokenAnswer.headers` stands what changes. */
const LENGTH_AT = 1
const CACHE_CONTROL_AT = 3

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
  /** Plain ASCII, as almost always, need not be encoded when it is written. */
  readonly encoding: 'latin1' | 'utf8'
  readonly etag: string
  /** All that the answer takes besides Node's own, name after value after name. */
  readonly headers: string[]
  /** JSON. A string, not bytes: Node writes it in one piece with the header. */
  body = ''
  readonly #expiresAtMs: number
  readonly #useUntilMs: number
  readonly #lasting: string
  readonly #lastingBytes: number
  #second = Number.NaN

  constructor(held: HeldToken, integration: Integration, { nowMs, isStale, warning }: Handing) {
    const { accountId, domain, generation } = held
    this.account = { integration: held.integration, accountId }
    this.generation = generation
    this.isStale = isStale
    this.outcome = isStale ? 'stale' : (warning ?? 'done')
    this.#expiresAtMs = held.expiresAt.getTime()
    // Past its promise a token may be rotated at any moment: no new promise is made.
    this.#useUntilMs = Math.max(nowMs, held.useUntilMs)
    const around = JSON.stringify({
      account_id: accountId,
      integration: held.integration,
      domain,
      api_url: integration.sandboxOrigin ?? `https://${domain ?? held.apiDomain}`,
      token_type: 'Bearer',
      expires_at: held.expiresAt.toISOString(),
      use_until: new Date(this.#useUntilMs).toISOString(),
      generation,
      ...(isStale ? { stale: true } : {}),
      ...(warning === undefined ? {} : { warning }),
    }).slice(0, -1)
    const token = held.accessToken().reveal()
    const quoted = JSON.stringify(token)
    const key = ',"access_token":'
    // Where nothing has to be escaped, as almost always, the text of the token itself is joined in: thousands are held.
    this.#lasting = around + key + (quoted.length === token.length + 2 ? `"${token}"` : quoted)
    this.#lastingBytes = Buffer.byteLength(around) + key.length + Buffer.byteLength(quoted)
    this.encoding = this.#lastingBytes === this.#lasting.length ? 'latin1' : 'utf8'
    const state = [held.integration, accountId, generation, held.useUntilMs, isStale, warning ?? '']
    this.etag = `"${state.join('.')}"`
    this.headers = [
      ...['content-length', ''],
      ...['cache-control', ''],
      ...['content-type', 'application/json; charset=utf-8'],
      ...['etag', this.etag],
      ...SECURITY_HEADERS.filter(([name]) => name !== 'cache-control').flat(),
    ]
    this.at(nowMs)
  }

  get cacheControl(): string {
    return this.headers[CACHE_CONTROL_AT] ?? ''
  }

  /** As it is to be sent at that time, PostgreSQL's. */
  at(nowMs: number): this {
    const second = Math.floor(nowMs / 1000)
    if (second === this.#second) return this
    this.#second = second
    const useForSeconds = Math.floor((this.#useUntilMs - nowMs) / 1000)
    const left = JSON.stringify({
      expires_in: Math.max(0, Math.floor((this.#expiresAtMs - nowMs) / 1000)),
      use_for: useForSeconds,
    })
    this.body = `${this.#lasting},${left.slice(1)}`
    this.headers[LENGTH_AT] = String(this.#lastingBytes + left.length)
    this.headers[CACHE_CONTROL_AT] = `private, max-age=${useForSeconds}`
    return this
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
