import { failureOf } from '../db/failures.ts'
import type { Integration } from '../integrations/integration.ts'
import { BrokerError } from '../lib/errors.ts'
import type { CachedToken } from './cached-token.ts'
import type { AwaitedEnd } from './hand-out.ts'

/** Retry-After where only an operator can end the state. */
const PAUSED_RETRY_SECONDS = 60

/**
 * Returns the 503 that says why there is no token now, and when to ask again. `end` is how the
 * refresh ended.
 */
export function tokenUnavailable(
  token: CachedToken,
  integration: Integration | undefined,
  end: AwaitedEnd,
  nowMs: number,
): BrokerError {
  const members = token.lastErrorCode === null ? {} : { last_error: token.lastErrorCode }
  const unavailable = (detail: string, retryAfterSeconds: number) =>
    new BrokerError('provider_unavailable', detail, { retryAfterSeconds, members })
  if (integration !== undefined && integration.state !== 'running') {
    return unavailable(`The integration is ${integration.state}.`, PAUSED_RETRY_SECONDS)
  }
  const openUntil = integration?.breakers.map((breaker) => breaker.openUntil.getTime()) ?? []
  if (openUntil.length > 0) {
    const detail = 'A breaker is open: nothing is sent until the provider is seen to work.'
    return unavailable(detail, secondsUntil(Math.max(...openUntil), nowMs))
  }
  if (token.shadow) {
    const detail = 'Another service refreshes this account and has replaced the token stored here.'
    return unavailable(detail, PAUSED_RETRY_SECONDS)
  }
  if (end === 'not_sendable') {
    return unavailable('The account is paused, or not refreshed here.', PAUSED_RETRY_SECONDS)
  }
  if (
    token.lastErrorCode === null &&
    (end === 'under_way' || end === 'claimed' || end === 'paced')
  ) {
    return new BrokerError('refresh_pending', 'A refresh is in progress.', { retryAfterSeconds: 1 })
  }
  const nextMs = token.nextAttemptAtMs ?? nowMs
  return unavailable('The last refresh failed.', secondsUntil(nextMs, nowMs))
}

/** Returns the 503 for a storage that could not do what the request needs. */
export function storageUnavailable(cause?: unknown): BrokerError {
  const detail =
    failureOf(cause) === 'read_only'
      ? 'PostgreSQL accepts no writes.'
      : 'PostgreSQL does not answer, or accepts no writes.'
  return new BrokerError('storage_unavailable', detail, { retryAfterSeconds: 1, cause })
}

function secondsUntil(atMs: number, nowMs: number): number {
  return Math.max(1, Math.ceil((atMs - nowMs) / 1000))
}
