import { withTimeout } from '../lib/with-timeout.ts'
import type { TokenRequest } from './decision.ts'
import { storageUnavailable } from './unavailable.ts'

/**
 * What a request may take beyond READ_WAIT_MS: the queries that are running when it is over, and
 * writing the response.
 */
const GRACE_MS = 200
/** What is left of the grace for the response. */
const RESPONSE_MS = 20

/** Returns by when the response is due: `waitMs` from now where the request does not say. */
export function deadlineOf({ deadlineMs }: TokenRequest, waitMs: number): number {
  return deadlineMs ?? performance.now() + waitMs
}

/** Resolves like `work`, or throws `storage_unavailable` at the deadline of the request. */
export async function withinDeadline<T extends object>(
  { deadlineMs = Number.POSITIVE_INFINITY }: TokenRequest,
  work: Promise<T>,
): Promise<T> {
  const limitMs = deadlineMs + GRACE_MS - performance.now()
  const result = await withTimeout(work, limitMs, undefined)
  if (result === undefined) throw storageUnavailable()
  return result
}

/** Returns how long a read may still wait for the refresh of its account. */
export function restOfWaitMs({ deadlineMs }: TokenRequest, waitMs: number): number {
  return deadlineMs === undefined ? waitMs : Math.max(0, deadlineMs - performance.now())
}

/** Returns how long a query of the request may take, at most `limitMs`. */
export function queryLimitMs(request: TokenRequest, limitMs: number): number {
  const { deadlineMs } = request
  if (deadlineMs === undefined) return limitMs
  const restMs = deadlineMs + GRACE_MS - RESPONSE_MS - performance.now()
  return Math.max(0, Math.min(limitMs, restMs))
}
