import { BrokerError } from '../errors.ts'
import type { RefreshEnd } from '../refresh/refresh.ts'
import type { HeldToken } from './cache.ts'

/** Why there is no token to hand out now, and when to ask again: the 503 of the contract. `end` is how the refresh ended. */
export function noToken(
  held: HeldToken,
  end: RefreshEnd | 'under_way' | undefined,
  nowMs: number,
): BrokerError {
  const retryAfterSeconds = Math.max(
    1,
    Math.ceil(((held.nextAttemptAt?.getTime() ?? nowMs) - nowMs) / 1000),
  )
  if (held.lastErrorCode === null && (end === 'under_way' || end === 'held' || end === 'paced')) {
    return new BrokerError('refresh_pending', 'A refresh is under way.', { retryAfterSeconds: 1 })
  }
  const members = held.lastErrorCode === null ? {} : { last_error: held.lastErrorCode }
  return new BrokerError('provider_unavailable', 'The last refresh brought no token.', {
    retryAfterSeconds,
    members,
  })
}
