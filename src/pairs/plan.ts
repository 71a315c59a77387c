/**
 * The share of a lifetime that is left when a token is refreshed: a blocked address can last for
 * hours.
 */
const REST_SHARE = 0.25
/** The share after which an account in use is refreshed. */
export const REFRESH_SHARE = 1 - REST_SHARE
/**
 * The share of a token's life in which it is handed out to nobody, where that is shorter than
 * MIN_REST_MS.
 */
export const MIN_REST_SHARE = 0.1
/** Spreads accounts that were onboarded together, so that they do not stay due together. */
const JITTER_SHARE = 0.05
/**
 * How long before a rotation the promise to readers ends: the time of a request that is already
 * being sent.
 */
const MAX_MARGIN_MS = 30_000
const MARGIN_SHARE = 0.2
/** Refresh tokens die after three months (docs/provider.md, part 3). */
const REFRESH_TOKEN_LIFETIME_MS = 90 * 24 * 3600 * 1000

/**
 * The interval for an idle account: its refresh token never comes near its end. A read refreshes it
 * on demand.
 */
const IDLE_REFRESH_MS = 30 * 24 * 3600 * 1000

interface Plan {
  expiresAt: Date
  refreshAt: Date
  /** `refreshAt` of an idle account. */
  idleAt: Date
  refreshTokenExpiresAt: Date
}

/**
 * Plans when a token that was requested at `sentAtMs` (PostgreSQL's time) expires, and when it is
 * rotated. `random` from 0 to 1 spreads the rotation.
 */
export function planRefresh(sentAtMs: number, lifetimeSeconds: number, random: number): Plan {
  const lifetimeMs = lifetimeSeconds * 1000
  const jitter = random * JITTER_SHARE
  const refreshAtMs = sentAtMs + (1 - REST_SHARE - jitter) * lifetimeMs
  return {
    expiresAt: new Date(sentAtMs + lifetimeMs),
    refreshAt: new Date(refreshAtMs),
    idleAt: new Date(Math.max(refreshAtMs, sentAtMs + (1 - jitter) * IDLE_REFRESH_MS)),
    refreshTokenExpiresAt: new Date(sentAtMs + REFRESH_TOKEN_LIFETIME_MS),
  }
}

/**
 * Returns until when a caller may keep a token, in milliseconds since 1970: no planned rotation
 * happens before. A long-lived token has no rotation and may be kept until it expires.
 */
export function useUntilMs(row: {
  expiresAt: Date
  refreshAt: Date | null
  nextAttemptAt: Date | null
}): number {
  const expiresAtMs = row.expiresAt.getTime()
  if (row.refreshAt === null) return expiresAtMs
  const refreshAtMs = row.refreshAt.getTime()
  const rotatesAtMs = Math.min(
    refreshAtMs,
    row.nextAttemptAt?.getTime() ?? Number.POSITIVE_INFINITY,
  )
  // Earlier than `refreshAt` only when a rotation was announced, and it may come at any moment.
  if (rotatesAtMs < refreshAtMs) return rotatesAtMs - MAX_MARGIN_MS
  return rotatesAtMs - Math.min(MAX_MARGIN_MS, MARGIN_SHARE * (expiresAtMs - rotatesAtMs))
}
