/** The part of a lifetime that is kept as the guaranteed rest: a blocked address can last for hours. */
const REST_SHARE = 0.25
/** The rest of it: how often an account in use is refreshed. */
export const REFRESH_SHARE = 1 - REST_SHARE
/** Accounts that were onboarded together shall not stay due together. */
const JITTER_SHARE = 0.05
/** How long before a rotation the promise to readers ends: for their request that is on its way then. */
const MAX_MARGIN_MS = 30_000
const MARGIN_SHARE = 0.2
/** Refresh tokens die after three months (provider page, part 3). */
const REFRESH_TOKEN_LIFETIME_MS = 90 * 24 * 3600 * 1000

/** Whoever read it within these days has it refreshed ahead of time: the due load follows use, not size. */
export const IDLE_AFTER_DAYS = 7
/** Without readers: often enough that the refresh token never comes near its end. A read refreshes it on demand. */
const IDLE_REFRESH_MS = 30 * 24 * 3600 * 1000

export interface Plan {
  expiresAt: Date
  refreshAt: Date
  /** Of an account that nobody reads. */
  idleAt: Date
  refreshTokenExpiresAt: Date
}

/** When a token that was asked for at `sentAtMs` (PostgreSQL's time) expires, and when it is rotated. */
export function planRefresh(sentAtMs: number, lifetimeSeconds: number): Plan {
  const lifetimeMs = lifetimeSeconds * 1000
  const jitter = Math.random() * JITTER_SHARE
  const refreshAtMs = sentAtMs + (1 - REST_SHARE - jitter) * lifetimeMs
  return {
    expiresAt: new Date(sentAtMs + lifetimeMs),
    refreshAt: new Date(refreshAtMs),
    idleAt: new Date(Math.max(refreshAtMs, sentAtMs + (1 - jitter) * IDLE_REFRESH_MS)),
    refreshTokenExpiresAt: new Date(sentAtMs + REFRESH_TOKEN_LIFETIME_MS),
  }
}

/**
 * Until when a token may be kept by whoever got it, milliseconds since 1970: no planned rotation comes before.
 * Without a rotation (a long-lived token) until it expires.
 */
export function useUntilMs(row: {
  expiresAt: Date
  refreshAt: Date | null
  nextAttemptAt: Date | null
}): number {
  const expiresAtMs = row.expiresAt.getTime()
  if (row.refreshAt === null) return expiresAtMs
  const rotatesAtMs = Math.min(
    row.refreshAt.getTime(),
    // Earlier than promised only when a rotation was announced.
    row.nextAttemptAt?.getTime() ?? Number.POSITIVE_INFINITY,
  )
  return rotatesAtMs - Math.min(MAX_MARGIN_MS, MARGIN_SHARE * (expiresAtMs - rotatesAtMs))
}
