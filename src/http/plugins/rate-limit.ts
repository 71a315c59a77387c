import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { RedisClient } from '../../db/redis.ts'
import { BrokerError } from '../../lib/errors.ts'

const WINDOW_MS = 60_000
const MAX_ADDRESSES = 20_000

/** The Redis that all replicas share. */
export interface SharedCount {
  redis: RedisClient
  /** Prefix of the keys. */
  nameSpace: string
}

/** Number of requests of one address in the present minute. */
interface AddressCount {
  used: number
  isExceeded: boolean
  retryAfterSeconds: number
}

type AddressLimit = (request: FastifyRequest) => Promise<AddressCount>

/**
 * Creates a limit of `max` requests per minute and address, or per network of 64 bits with IPv6,
 * because one person has all of that. It counts in this process and, with `shared`, for all
 * replicas. While Redis does not answer, only the count of this process is used.
 */
export async function createAddressLimit(
  app: FastifyInstance,
  max: number,
  shared: SharedCount | null,
): Promise<AddressLimit> {
  const counters = [await createCounter(app, max, null)]
  if (shared !== null) counters.push(await createCounter(app, max, shared))
  return async (request) => {
    let worst: AddressCount = { used: 0, isExceeded: false, retryAfterSeconds: 1 }
    for (const count of counters) {
      const counted = await count(request)
      if (counted.used > worst.used) worst = counted
      // A flood of requests must not reach Redis.
      if (worst.isExceeded) return worst
    }
    return worst
  }
}

/** Returns the address, or its network of 64 bits with IPv6, because one person has all of that. */
export function networkOf({ ip }: FastifyRequest): string {
  if (!ip.includes(':')) return ip
  const [left = '', right] = ip.toLowerCase().split('::')
  const head = left === '' ? [] : left.split(':')
  const tail = right === undefined || right === '' ? [] : right.split(':')
  const zeros = right === undefined ? 0 : Math.max(0, 8 - head.length - tail.length)
  const groups = [...head, ...Array<string>(zeros).fill('0'), ...tail]
  return groups.slice(0, 4).join(':')
}

/** Throws `too_many_requests` if the count exceeds the limit. */
export function requireWithin(count: AddressCount, detail: string): void {
  if (!count.isExceeded) return
  const { retryAfterSeconds } = count
  throw new BrokerError('too_many_requests', detail, { retryAfterSeconds })
}

/** Creates one counter in its own scope, because a store belongs to its registration. */
async function createCounter(
  app: FastifyInstance,
  max: number,
  shared: SharedCount | null,
): Promise<AddressLimit> {
  const created = Promise.withResolvers<AddressLimit>()
  await app.register(async (scope) => {
    await scope.register(rateLimit, {
      ...shared,
      global: false,
      max,
      timeWindow: WINDOW_MS,
      cache: MAX_ADDRESSES,
      skipOnError: true,
    })
    const limit = scope.createRateLimit()
    created.resolve(async (request) => {
      const count = await limit(request)
      if (count.isAllowed) return { used: 0, isExceeded: false, retryAfterSeconds: 1 }
      return {
        used: count.max - count.remaining + (count.isExceeded ? 1 : 0),
        isExceeded: count.isExceeded,
        retryAfterSeconds: Math.max(1, count.ttlInSeconds),
      }
    })
  })
  return created.promise
}
