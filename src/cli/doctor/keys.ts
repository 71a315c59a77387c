import { pino } from 'pino'
import type { Config } from '../../config.ts'
import type { Database } from '../../db/database.ts'
import { openRedis } from '../../db/redis.ts'
import { Spool } from '../../db/spool.ts'
import { Keys, type KeyUse } from '../../keys/service.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** Whether ENCRYPTION_KEYS opens all that was sealed, and what may go. */
export async function examineKeys(config: Config, database: Database): Promise<Finding[]> {
  const { keyRing, deploymentId, redisUrl, dataDir } = config
  const log = pino({ level: 'silent' })
  const redis = redisUrl === null ? null : await openRedis(redisUrl, log)
  try {
    const spool = new Spool(dataDir)
    const keys = new Keys({ database, redis, spool, keyRing, deploymentId, log })
    const inUse = await keys.inUse()
    const missing = [...inUse.keys()].filter((id) => !keyRing.keyIds.includes(id))
    return [
      ...missing.map((id) =>
        fail(
          `key "${id}" sealed ${count(inUse.get(id))} values and is not loaded`,
          'Put it back into ENCRYPTION_KEYS, behind the first one: without it they are lost.',
        ),
      ),
      ...keyRing.keyIds.map((id, at) => judge(id, at === 0, count(inUse.get(id)))),
    ]
  } finally {
    redis?.disconnect()
  }
}

function judge(id: string, isFirst: boolean, values: number): Finding {
  if (isFirst) return ok(`key "${id}" seals; ${values} values are under it`)
  if (values === 0) {
    return ok(`key "${id}" is no longer in use here; it may go once every replica's log says so`)
  }
  return warn(
    `key "${id}" is still in use: ${values} values`,
    'Leave it in ENCRYPTION_KEYS; amo-broker reseal moves its values to the first key.',
  )
}

function count(use: KeyUse | undefined): number {
  return [...(use?.values() ?? [])].reduce((sum, each) => sum + each, 0)
}
