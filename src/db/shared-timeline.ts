import type { RedisClient } from './redis.ts'
import type { Storage } from './storage-state.ts'

/**
 * Forgotten after this time without a replica that is on it, so that an older backup may replace
 * the database.
 */
const LIFE_MS = 30_000

/** Returns the highest timeline. Only a replica that is on it keeps it alive. */
const EXCHANGE = `local known = tonumber(redis.call('get', KEYS[1]) or '0')
  if tonumber(ARGV[1]) < known then return known end
  redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return tonumber(ARGV[1])`

/**
 * Tells the other replicas the timeline of PostgreSQL that this one has seen, and learns theirs: a
 * replica whose sessions stay on a former primary claims nothing there from then on. Throws when
 * Redis does not answer.
 */
export async function shareTimeline(
  redis: RedisClient,
  deploymentId: string,
  storage: Storage,
): Promise<void> {
  const { systemId, timeline } = storage
  if (systemId === null) return
  const key = `amo:${deploymentId}:timeline:${systemId}`
  const highest = Number(await redis.eval(EXCHANGE, 1, key, timeline, LIFE_MS))
  // The database may have been replaced while Redis answered.
  if (storage.systemId !== systemId) return
  storage.meet({ systemId, timeline: highest, isInRecovery: false })
}
