import type { AccountState } from './account-state.ts'
import { type Deadline, waitFor } from './deadline.ts'
import type { TimedToken } from './token.ts'

/** A request that all callers of an account share. */
export interface Flight {
  promise: Promise<TimedToken>
  minTtlSeconds: number
  endMs: number
  waiters: number
  abort: AbortController
}

/** Starts the one request to the broker that all callers of the account share. */
export function startFlight(
  state: AccountState,
  terms: Pick<Flight, 'minTtlSeconds' | 'endMs'>,
  ask: (signal: AbortSignal) => Promise<TimedToken>,
): Flight {
  const abort = new AbortController()
  const promise = ask(abort.signal)
  const flight: Flight = { promise, waiters: 0, abort, ...terms }
  const end = () => {
    if (state.flight === flight) state.flight = undefined
  }
  promise.then(end, end)
  state.flight = flight
  return flight
}

/** Waits for a flight. A flight without a waiting caller is ended, unless `isDetached`. */
export async function awaitFlight(
  flight: Flight,
  deadline: Deadline,
  isDetached: boolean,
): Promise<TimedToken> {
  flight.waiters += isDetached ? Number.POSITIVE_INFINITY : 1
  try {
    return await waitFor(flight.promise, deadline)
  } finally {
    flight.waiters -= 1
    if (flight.waiters === 0) flight.abort.abort(new Error('no caller waits any more'))
  }
}
