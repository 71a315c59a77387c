import { setTimeout as delay } from 'node:timers/promises'
import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Redis } from 'ioredis'
import { BrokerError } from '../errors.ts'

const WINDOW_MS = 60_000
/** A service with a wrong key shows itself long before; a key of 256 bits is not found by more. */
const MAX_FAILURES = 60
/** So many typing errors cost nothing; each one after them waits longer, up to a second. */
const FREE_FAILURES = 5
const STEP_MS = 20
const MAX_DELAY_MS = 1_000
const MAX_ADDRESSES = 20_000

export interface GuessLimit {
  /** Counts a failed key of this address and slows it down. Throws `too_many_requests`. */
  count(request: FastifyRequest): Promise<void>
}

/**
 * Counts failed keys by address, here and, where there is Redis, for all replicas together. A Redis that does not answer
 * leaves the count of this process.
 */
export async function makeGuessLimit(
  app: FastifyInstance,
  redis: Redis | null,
  deploymentId: string,
): Promise<GuessLimit> {
  const limits = [
    await limiter(app, {}),
    ...(redis === null
      ? []
      : [await limiter(app, { redis, nameSpace: `amo:${deploymentId}:guesses:` })]),
  ]
  return {
    async count(request) {
      const counts = await Promise.all(limits.map((limit) => limit(request)))
      const worst = counts.toSorted((a, b) => failuresOf(b) - failuresOf(a))[0]
      if (worst === undefined || worst.isAllowed) return
      if (worst.isExceeded) {
        throw new BrokerError('too_many_requests', 'Too many failed keys from this address.', {
          retryAfterSeconds: Math.max(1, worst.ttlInSeconds),
        })
      }
      const delayMs = STEP_MS * (failuresOf(worst) - FREE_FAILURES)
      if (delayMs > 0) await delay(Math.min(delayMs, MAX_DELAY_MS))
    },
  }
}

type Limiter = ReturnType<FastifyInstance['createRateLimit']>
type Count = Awaited<ReturnType<Limiter>>

/** In a scope of its own: a store belongs to the registration. */
async function limiter(
  app: FastifyInstance,
  store: { redis?: Redis; nameSpace?: string },
): Promise<Limiter> {
  const made = Promise.withResolvers<Limiter>()
  await app.register(async (scope) => {
    await scope.register(rateLimit, {
      ...store,
      global: false,
      max: MAX_FAILURES,
      timeWindow: WINDOW_MS,
      cache: MAX_ADDRESSES,
      skipOnError: true,
    })
    made.resolve(scope.createRateLimit())
  })
  return made.promise
}

function failuresOf(count: Count): number {
  return count.isAllowed ? 0 : count.max - count.remaining + (count.isExceeded ? 1 : 0)
}
