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

export interface TokenAnswer {
  /** JSON. A string, not bytes: Node writes it in one piece with the header. */
  body: string
  /** Plain ASCII, as almost always, need not be encoded when it is written. */
  encoding: 'latin1' | 'utf8'
  etag: string
  account: AccountKey
  generation: number
  /** For the audit. */
  outcome: string
  cacheControl: string
  /** All that the answer takes besides Node's own, name after value after name: made once, as the body is. */
  headers: string[]
  tally: Tally
}

/** How a token is handed out besides what it is. */
export interface Handing {
  nowMs: number
  /** Kept from before PostgreSQL fell silent. */
  isStale: boolean
  warning?: Warning | undefined
}

/** The answer of `GET /tokens/:account` (schemas.ts says what each field means). */
export function renderToken(
  held: HeldToken,
  integration: Integration,
  { nowMs, isStale, warning }: Handing,
): TokenAnswer {
  const { accountId, domain, generation } = held
  // Past its promise a token may be rotated at any moment: no new promise is made.
  const useUntilMs = Math.max(nowMs, held.useUntilMs)
  const useForSeconds = Math.floor((useUntilMs - nowMs) / 1000)
  const body = {
    account_id: accountId,
    integration: held.integration,
    domain,
    api_url: integration.sandboxOrigin ?? `https://${domain ?? held.apiDomain}`,
    token_type: 'Bearer',
    access_token: held.accessToken().reveal(),
    expires_at: held.expiresAt.toISOString(),
    expires_in: Math.max(0, Math.floor((held.expiresAt.getTime() - nowMs) / 1000)),
    use_until: new Date(useUntilMs).toISOString(),
    use_for: useForSeconds,
    generation,
    ...(isStale ? { stale: true } : {}),
    ...(warning === undefined ? {} : { warning }),
  }
  const state = [held.integration, accountId, generation, held.useUntilMs, isStale, warning ?? '']
  const text = JSON.stringify(body)
  const length = Buffer.byteLength(text)
  const cacheControl = `private, max-age=${useForSeconds}`
  const etag = `"${state.join('.')}"`
  return {
    account: { integration: held.integration, accountId },
    generation,
    outcome: isStale ? 'stale' : (warning ?? 'done'),
    body: text,
    encoding: length === text.length ? 'latin1' : 'utf8',
    etag,
    cacheControl,
    headers: [
      ...['content-type', 'application/json; charset=utf-8'],
      ...['content-length', String(length)],
      ...['cache-control', cacheControl],
      ...['etag', etag],
      ...SECURITY_HEADERS.filter(([name]) => name !== 'cache-control').flat(),
    ],
    tally: new Tally(),
  }
}

/** An answer without a warning, and when it was made. */
export interface RenderedToken extends TokenAnswer {
  second: number
  isStale: boolean
}

/** What was rendered of a token in this second, while PostgreSQL answered. */
export function renderedAt(held: HeldToken, nowMs: number): TokenAnswer | undefined {
  const { rendered } = held
  if (rendered === undefined || rendered.isStale) return undefined
  return rendered.second === Math.floor(nowMs / 1000) ? rendered : undefined
}

/** Renders at most once a second and token, so that a hit costs no JSON and `expires_in` stays true. */
export function renderOnce(
  held: HeldToken,
  integration: Integration,
  handing: Handing,
): TokenAnswer {
  if (handing.warning !== undefined) return renderToken(held, integration, handing)
  const second = Math.floor(handing.nowMs / 1000)
  const { isStale } = handing
  if (held.rendered?.second === second && held.rendered.isStale === isStale) return held.rendered
  held.rendered = { ...renderToken(held, integration, handing), second, isStale }
  return held.rendered
}

/** Why a token is handed out without a promise. */
export function warningFor(held: HeldToken, isBehindBreaker: boolean): Warning {
  if (held.status === 'reauth_required') return 'reauth_required'
  if (held.shadow) return 'shadow'
  if (held.paused) return 'paused'
  return held.failedAttempts > 0 || isBehindBreaker ? 'provider_unavailable' : 'refresh_pending'
}
