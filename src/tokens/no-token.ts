import { BrokerError } from '../errors.ts'
import type { Integration } from '../integrations/service.ts'
import type { RefreshEnd } from '../refresh/refresh.ts'
import type { HeldToken } from './held-token.ts'

/** Nobody knows when an operator lets it go on. */
const PAUSED_RETRY_SECONDS = 60

/** Why there is no token to hand out now, and when to ask again: the 503 of the contract. `end` is how the refresh ended. */
export function noToken(
  held: HeldToken,
  integration: Integration | undefined,
  end: RefreshEnd | 'under_way' | undefined,
  nowMs: number,
): BrokerError {
  const members = held.lastErrorCode === null ? {} : { last_error: held.lastErrorCode }
  const unavailable = (detail: string, retryAfterSeconds: number) =>
    new BrokerError('provider_unavailable', detail, { retryAfterSeconds, members })
  if (integration !== undefined && integration.state !== 'running') {
    return unavailable(`The integration is ${integration.state}.`, PAUSED_RETRY_SECONDS)
  }
  const openUntil = integration?.breakers.map((breaker) => breaker.openUntil.getTime()) ?? []
  if (openUntil.length > 0) {
    const detail = 'The provider fails: nothing is sent until it is seen to work again.'
    return unavailable(detail, secondsUntil(Math.max(...openUntil), nowMs))
  }
  if (held.shadow) {
    const detail = 'Another service refreshes this account and has replaced the token held here.'
    return unavailable(detail, PAUSED_RETRY_SECONDS)
  }
  if (end === 'not_sendable') {
    return unavailable('The account is paused, or not refreshed here.', PAUSED_RETRY_SECONDS)
  }
  if (held.lastErrorCode === null && (end === 'under_way' || end === 'held' || end === 'paced')) {
    return new BrokerError('refresh_pending', 'A refresh is under way.', { retryAfterSeconds: 1 })
  }
  const nextMs = held.nextAttemptAtMs ?? nowMs
  return unavailable('The last refresh brought no token.', secondsUntil(nextMs, nowMs))
}

function secondsUntil(atMs: number, nowMs: number): number {
  return Math.max(1, Math.ceil((atMs - nowMs) / 1000))
}
