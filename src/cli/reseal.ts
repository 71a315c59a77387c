import { pino } from 'pino'
import { openRedis } from '../db/redis.ts'
import { Spool } from '../db/spool.ts'
import { Keys, type KeyUse } from '../keys/service.ts'
import { withDatabase } from './with-database.ts'

/** Moves every sealed value to the first key, or counts them alone. Exit code 1 when something is not under it. */
export function reseal({ check }: { check?: true | undefined }): Promise<void> {
  return withDatabase(async (config, database) => {
    const { keyRing, deploymentId } = config
    const log = pino({ level: 'silent' })
    const redis = config.redisUrl === null ? null : await openRedis(config.redisUrl, log)
    try {
      const spool = new Spool(config.dataDir)
      const keys = new Keys({ database, redis, spool, keyRing, deploymentId, log })
      if (!check) {
        for await (const { place, resealed, unreadable } of keys.reseal()) {
          const rest = unreadable === 0 ? '' : `, ${unreadable} cannot be opened`
          console.log(`${place.padEnd(22)} ${resealed} resealed${rest}`)
        }
      }
      report(await keys.inUse(), keyRing.keyIds)
    } finally {
      redis?.disconnect()
    }
  })
}

/** One line a key: how many values, and what that means for whoever wants to remove it. */
function report(inUse: ReadonlyMap<string, KeyUse>, keyIds: string[]): void {
  const [first = '', ...others] = keyIds
  const count = (id: string) =>
    [...(inUse.get(id)?.values() ?? [])].reduce((sum, each) => sum + each, 0)
  console.log(`key "${first}": ${count(first)} values; it seals`)
  for (const id of others) {
    const values = count(id)
    const end =
      values === 0
        ? 'no longer in use here; each replica looks after the answers on its own disk'
        : 'still in use'
    console.log(`key "${id}": ${values} values; ${end}`)
    if (values > 0) process.exitCode = 1
  }
  for (const id of [...inUse.keys()].filter((each) => !keyIds.includes(each))) {
    console.error(`key "${id}": ${count(id)} values; it is not in ENCRYPTION_KEYS: put it back`)
    process.exitCode = 1
  }
}
