import type { CachedToken } from '../../tokens/cached-token.ts'
import type { TokenDecision } from '../../tokens/decision.ts'
import { TokenResponse } from './token-response.ts'

/**
 * Renders a decision. A decision with a promise and without a warning is rendered once for each
 * cached token.
 */
export function renderDecision(decision: TokenDecision): TokenResponse {
  const { token, nowMs, useUntilMs, isStale, warning } = decision
  if (warning !== undefined || nowMs >= useUntilMs) return new TokenResponse(decision)
  const { prepared } = token
  if (prepared instanceof TokenResponse && prepared.isStale === isStale) return prepared.at(nowMs)
  const response = new TokenResponse(decision)
  token.prepared = response
  return response
}

/**
 * Returns the prepared response of a hit.
 *
 * @returns undefined when there is none, or only a stale one
 */
export function renderHit({ prepared }: CachedToken, nowMs: number): TokenResponse | undefined {
  if (!(prepared instanceof TokenResponse) || prepared.isStale) return undefined
  return prepared.at(nowMs)
}
