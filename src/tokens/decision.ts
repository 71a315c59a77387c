import type { Integration } from '../integrations/integration.ts'
import type { CachedToken } from './cached-token.ts'

/** The token that a caller asks for. */
export interface TokenRequest {
  /** Account id, domain or subdomain. */
  name: string
  integration: string | undefined
  /** How long the token must still live. A value that no refresh can reach is not waited for. */
  minTtlSeconds?: number
  /** `performance.now()` by which the response is due. Every wait of the request ends by then. */
  deadlineMs?: number
}

/** Why a token comes without a guarantee until `use_until`, or does not meet `min_ttl`. */
export type Warning =
  | 'refresh_pending'
  | 'provider_unavailable'
  | 'reauth_required'
  | 'min_ttl_capped'
  | 'paused'
  | 'shadow'
  | 'storage_read_only'

/**
 * A token that may be handed out, and on which terms. Times are PostgreSQL's, in milliseconds since
 * 1970.
 */
export interface TokenDecision {
  token: CachedToken
  /** Origin for API calls of the account. */
  apiUrl: string
  nowMs: number
  /**
   * Until when the caller may use the token without asking again; `nowMs` if it may be rotated at
   * any moment.
   */
  useUntilMs: number
  /**
   * The token is the last known one, because PostgreSQL does not answer, or the one of a server
   * that is not the present primary.
   */
  isStale: boolean
  warning: Warning | undefined
}

/** Returns the origin for API calls of an account. */
export function apiUrlOf(
  { sandboxOrigin }: Integration,
  { domain, apiDomain }: Pick<CachedToken, 'domain' | 'apiDomain'>,
): string {
  return sandboxOrigin ?? `https://${domain ?? apiDomain ?? ''}`
}
