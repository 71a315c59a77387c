import type { AccountKey } from '../accounts/account-key.ts'
import type { Integration } from '../integrations/service.ts'
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
  /** JSON, as bytes. */
  body: Buffer
  etag: string
  account: AccountKey
  generation: number
  /** For the audit. */
  outcome: string
  /** For Cache-Control; 0: to be used at once and not kept. */
  maxAgeSeconds: number
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
  return {
    account: { integration: held.integration, accountId },
    generation,
    outcome: isStale ? 'stale' : (warning ?? 'done'),
    body: Buffer.from(JSON.stringify(body)),
    etag: `"${state.join('.')}"`,
    maxAgeSeconds: useForSeconds,
  }
}

/** Renders at most once a second and token, so that a hit costs no JSON and `expires_in` stays true. */
export class RenderedTokens {
  readonly #rendered = new WeakMap<HeldToken, TokenAnswer & { second: number; isStale: boolean }>()

  get(held: HeldToken, integration: Integration, handing: Handing): TokenAnswer {
    if (handing.warning !== undefined) return renderToken(held, integration, handing)
    const second = Math.floor(handing.nowMs / 1000)
    const known = this.#rendered.get(held)
    if (known !== undefined && known.second === second && known.isStale === handing.isStale) {
      return known
    }
    const answer = { ...renderToken(held, integration, handing), second, isStale: handing.isStale }
    this.#rendered.set(held, answer)
    return answer
  }
}

/** Why a token is handed out without a promise. */
export function warningFor(held: HeldToken, isBehindBreaker: boolean): Warning {
  if (held.status === 'reauth_required') return 'reauth_required'
  if (held.shadow) return 'shadow'
  if (held.paused) return 'paused'
  return held.failedAttempts > 0 || isBehindBreaker ? 'provider_unavailable' : 'refresh_pending'
}
