import { pino } from 'pino'
import type { Config } from '../config/load-config.ts'
import type { Database } from '../db/database.ts'
import { findUsedKeys } from '../db/deployment.ts'
import { openRedis } from '../db/redis.ts'
import { Spool } from '../journal/spool.ts'
import { Keys, type KeyUse } from '../keys/service.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** Examines whether ENCRYPTION_KEYS opens every sealed value, and which keys can be removed. */
export async function examineKeys(config: Config, database: Database): Promise<Finding[]> {
  const { keyRing, deploymentId, redisUrl, dataDir } = config
  const log = pino({ level: 'silent' })
  const redis = redisUrl === null ? null : await openRedis(redisUrl, log)
  try {
    const spool = new Spool(dataDir)
    const keys = new Keys({ database, redis, spool, keyRing, deploymentId, log })
    const inUse = await keys.inUse()
    const used = await findUsedKeys(database.db)
    const missing = [...inUse.keys()].filter((id) => !keyRing.keyIds.includes(id))
    return [
      ...missing.map((id) =>
        fail(
          `key "${id}" sealed ${count(inUse.get(id))} values and is not loaded`,
          'Put it back into ENCRYPTION_KEYS, after the first one: without it these values are lost.',
        ),
      ),
      ...keyRing.keyIds.map((id, at) =>
        findingOf(id, at === 0, count(inUse.get(id)), used.has(id)),
      ),
    ]
  } finally {
    redis?.disconnect()
  }
}

function findingOf(id: string, isFirst: boolean, values: number, wasUsed: boolean): Finding {
  if (isFirst) return ok(`key "${id}" seals new values; ${values} values use it`)
  if (values === 0 && !wasUsed) {
    return ok(`key "${id}" seals nothing yet; move it to the front once every replica has it`)
  }
  if (values === 0) {
    return ok(
      `key "${id}" is no longer in use here; remove it once every replica has logged the same`,
    )
  }
  return warn(
    `key "${id}" is still in use: ${values} values`,
    'Leave it in ENCRYPTION_KEYS. amo-broker reseal moves its values to the first key.',
  )
}

function count(use: KeyUse | undefined): number {
  return [...(use?.values() ?? [])].reduce((sum, each) => sum + each, 0)
}
