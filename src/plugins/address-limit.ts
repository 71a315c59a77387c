import rateLimit from '@fastify/rate-limit'
import fp from 'fastify-plugin'
import type { Redis } from 'ioredis'
import { BrokerError } from '../errors.ts'

const WINDOW_MS = 60_000
/** A person needs a dozen. The provider's servers send one hook or callback an account, from few addresses. */
const MAX_REQUESTS = 600
const MAX_ADDRESSES = 20_000

export interface AddressLimitOptions {
  redis: Redis | null
  deploymentId: string
}

/**
 * So many requests a minute and address, for the routes registered after it: counted here and, where there is Redis, for all
 * replicas together. A Redis that does not answer leaves the count of this process.
 */
export const addressLimitPlugin = fp<AddressLimitOptions>(
  async (app, { redis, deploymentId }) => {
    const shared = redis === null ? [] : [{ redis, nameSpace: `amo:${deploymentId}:requests:` }]
    for (const store of [{}, ...shared]) {
      await app.register(async (scope) => {
        await scope.register(rateLimit, {
          ...store,
          global: false,
          max: MAX_REQUESTS,
          timeWindow: WINDOW_MS,
          cache: MAX_ADDRESSES,
          skipOnError: true,
        })
        const limit = scope.createRateLimit()
        app.addHook('onRequest', async (request) => {
          const count = await limit(request)
          if (count.isAllowed || !count.isExceeded) return
          throw new BrokerError('too_many_requests', 'Too many requests from this address.', {
            retryAfterSeconds: Math.max(1, count.ttlInSeconds),
          })
        })
      })
    }
  },
  { name: 'address-limit', fastify: '5.x' },
)
