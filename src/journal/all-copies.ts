import type { RedisClient } from '../db/redis.ts'

const SCAN_COUNT = 200

/**
 * Yields every copy of a response that a deployment has in Redis: the key of its hash, its name,
 * and the sealed response.
 */
export async function* allCopies(
  redis: RedisClient,
  deploymentId: string,
): AsyncGenerator<[key: string, name: string, sealed: string]> {
  // A deployment's name may contain characters that have a meaning in a glob.
  const literal = `{amo:${deploymentId}:kept}:`.replace(/[\\*?[\]^-]/g, '\\$&')
  // A scan sees only the keys of one node.
  for (const node of 'nodes' in redis ? redis.nodes('master') : [redis]) {
    let cursor = '0'
    do {
      const [next, keys] = await node.scan(cursor, 'MATCH', `${literal}*`, 'COUNT', SCAN_COUNT)
      for (const key of keys) {
        for (const [name, sealed] of Object.entries(await node.hgetall(key)))
          yield [key, name, sealed]
      }
      cursor = next
    } while (cursor !== '0')
  }
}
