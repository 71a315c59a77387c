// Numbers from the provider that reach a clock or SQL. A value out of range counts as absent; it
// never makes the broker discard a token pair.

const DAY_SECONDS = 24 * 3_600

/** Access tokens live a day (docs/provider.md, part 3). */
export const MAX_EXPIRES_IN_SECONDS = 30 * DAY_SECONDS
/** Long-lived tokens are issued for five years at most (docs/provider.md, part 10). */
const MAX_EXPIRY_AHEAD_SECONDS = 10 * 365.25 * DAY_SECONDS
/** A clock of the provider that is further off than this is not believed. */
const MAX_SKEW_SECONDS = 10 * 60

/** @returns `undefined` unless the value lies between one second and 30 days. */
export function readExpiresIn(value: unknown): number | undefined {
  const seconds = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  if (typeof seconds !== 'number' || !(seconds >= 1)) return undefined
  return seconds > MAX_EXPIRES_IN_SECONDS ? undefined : Math.floor(seconds)
}

/** @returns `undefined` when `exp` is malformed or more than ten years ahead. */
export function readExpiry(exp: unknown, nowMs: number): number | undefined {
  if (typeof exp !== 'number' || !(exp > 0)) return undefined
  return exp > nowMs / 1000 + MAX_EXPIRY_AHEAD_SECONDS ? undefined : exp
}

/** @returns `undefined` when `iat` is malformed or lies in the future. */
export function readIssuedAt(iat: unknown, nowMs: number): number | undefined {
  if (typeof iat !== 'number' || !(iat > 0)) return undefined
  return iat > nowMs / 1000 + MAX_SKEW_SECONDS ? undefined : iat
}
