/** The longest wait that `Retry-After` can ask for: a block of an address lasts hours, not days. */
const MAX_RETRY_AFTER_SECONDS = 6 * 3_600

/**
 * Reads `Retry-After`: seconds, or a date that is compared with the response's own `Date`
 * (RFC 9110 §10.2.3). A longer wait becomes six hours.
 *
 * @returns `undefined` when the header is absent, malformed, or asks for no wait.
 */
export function readRetryAfter(retryAfter: string, date: string): number | undefined {
  const seconds = /^\s*\d+(\.\d+)?\s*$/.test(retryAfter)
    ? Number(retryAfter)
    : (Date.parse(retryAfter) - Date.parse(date)) / 1000
  if (!(seconds > 0)) return undefined
  return Math.min(Math.max(1, Math.ceil(seconds)), MAX_RETRY_AFTER_SECONDS)
}
