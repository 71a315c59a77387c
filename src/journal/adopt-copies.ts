import type { RedisClient } from '../db/redis.ts'
import { allCopies } from './all-copies.ts'
import { RedisCopies } from './redis-copies.ts'
import { parseResponseName } from './response-name.ts'

/**
 * Gives the copies of responses of one deployment to another one, which may then commit them. Those
 * of the first stay: its database may be a copy that still runs.
 *
 * @returns how many there are, and the greatest generation that one was ever written for
 */
export async function adoptCopies(
  redis: RedisClient,
  from: string,
  to: string,
): Promise<{ copied: number; greatestGeneration: number }> {
  const next = new RedisCopies(redis, to)
  let copied = 0
  for await (const [, text, sealed] of allCopies(redis, from)) {
    const name = parseResponseName(text)
    if (name === undefined) continue
    await next.append(name, sealed)
    copied += 1
  }
  const known = await Promise.all([new RedisCopies(redis, from).greatest(), next.greatest()])
  return { copied, greatestGeneration: Math.max(...known.map(({ generation }) => generation)) }
}
