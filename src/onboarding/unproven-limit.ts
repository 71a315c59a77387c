import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { BrokerError } from '../errors.ts'

/** A person installs one integration at a time; the provider's servers install for many, and not so many a minute. */
const MAX_A_MINUTE = 60
const WINDOW_MS = 60_000
const MAX_ADDRESSES = 20_000

/** Throws `too_many_requests`. */
export type UnprovenLimit = (request: FastifyRequest) => Promise<void>

/**
 * Callbacks that nothing proves, by address, or by network of 64 bits, of which one person has all: each may cost a row in the
 * inbox and a call to the provider.
 */
export async function makeUnprovenLimit(app: FastifyInstance): Promise<UnprovenLimit> {
  await app.register(rateLimit, {
    global: false,
    max: MAX_A_MINUTE,
    timeWindow: WINDOW_MS,
    cache: MAX_ADDRESSES,
  })
  const limit = app.createRateLimit()
  return async (request) => {
    const count = await limit(request)
    if (count.isAllowed || !count.isExceeded) return
    throw new BrokerError('too_many_requests', 'Too many callbacks from this address.', {
      retryAfterSeconds: Math.max(1, count.ttlInSeconds),
    })
  }
}
