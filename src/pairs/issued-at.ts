import type { AccessTokenClaims } from '../provider/access-token.ts'

/** The provider's clock may differ from PostgreSQL's by this much. */
const MAX_SKEW_MS = 10 * 60_000

/**
 * Returns when the provider issued a pair that was asked for at `sentAtMs` (PostgreSQL's time). It
 * orders two consents; when a pair ends is computed from the time of the send. An `iat` that cannot
 * be right is not believed.
 */
export function issuedAtOf(claims: AccessTokenClaims | undefined, sentAtMs: number): Date {
  const seconds = claims?.issuedAtSeconds
  if (seconds === undefined || Math.abs(seconds * 1000 - sentAtMs) > MAX_SKEW_MS)
    return new Date(sentAtMs)
  return new Date(seconds * 1000)
}
