import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { createAddressLimit, requireWithin, type SharedCount } from './rate-limit.ts'

/**
 * A service with a wrong key is noticed long before, and no number of guesses finds a key of 256
 * bits.
 */
const MAX_FAILURES = 60
/** This many failures cost nothing. Each further one waits longer, up to a second. */
const FREE_FAILURES = 5
const STEP_MS = 20
const MAX_DELAY_MS = 1_000

/** Counts a wrong key. Waits, and throws `too_many_requests` after too many. */
export type CountGuess = (request: FastifyRequest) => Promise<void>

/**
 * Creates the limit of wrong keys per minute and address. One limit serves the API and the console,
 * so that the second does not give further guesses.
 */
export async function createGuessLimit(
  app: FastifyInstance,
  shared: SharedCount | null,
): Promise<CountGuess> {
  const failures = await createAddressLimit(app, MAX_FAILURES, shared)
  return async (request) => {
    const count = await failures(request)
    requireWithin(count, 'Too many failed keys from this address.')
    const delayMs = STEP_MS * (count.used - FREE_FAILURES)
    if (delayMs > 0) await delay(Math.min(delayMs, MAX_DELAY_MS))
  }
}
