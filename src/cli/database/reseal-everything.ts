import { pino } from 'pino'
import { findUsedKeys, recordUsedKeys } from '../../db/deployment.ts'
import { openRedis } from '../../db/redis.ts'
import { Spool } from '../../journal/spool.ts'
import { Keys, type KeyUse } from '../../keys/service.ts'
import { printJson } from '../common/output.ts'
import { withDatabase } from '../common/with-database.ts'

interface ResealOptions {
  check?: true | undefined
  json?: true | undefined
}

interface KeyReport {
  key_id: string
  values: number
  /** `new`: no value was ever sealed under it. `unused`: no value is any more. */
  state: 'sealing' | 'in use' | 'new' | 'unused' | 'missing'
}

/** Moves every sealed value to the first key, or only counts. Sets exit code 1 if some are not. */
export function resealEverything({ check, json }: ResealOptions): Promise<void> {
  return withDatabase(async (config, database) => {
    const { keyRing, deploymentId } = config
    const log = pino({ level: 'silent' })
    const redis = config.redisUrl === null ? null : await openRedis(config.redisUrl, log)
    try {
      const spool = new Spool(config.dataDir)
      const keys = new Keys({ database, redis, spool, keyRing, deploymentId, log })
      const places = []
      if (!check) {
        // Before re-sealing: afterwards an old key would never have been seen in use.
        await recordUsedKeys(database.db, [...(await keys.inUse()).keys()])
        for await (const { place, resealed, unreadable } of keys.reseal()) {
          places.push({ place, resealed, unreadable })
          const rest = unreadable === 0 ? '' : `, ${unreadable} cannot be opened`
          if (!json) console.log(`${place.padEnd(22)} ${resealed} resealed${rest}`)
        }
      }
      const used = await findUsedKeys(database.db)
      const reports = reportsOf(await keys.inUse(), keyRing.keyIds, used)
      if (reports.some(({ state }) => state === 'in use' || state === 'missing')) {
        process.exitCode = 1
      }
      if (json) printJson({ places, keys: reports })
      else reports.forEach(show)
    } finally {
      redis?.disconnect()
    }
  })
}

function reportsOf(
  inUse: ReadonlyMap<string, KeyUse>,
  keyIds: string[],
  used: ReadonlySet<string>,
): KeyReport[] {
  const count = (id: string) =>
    [...(inUse.get(id)?.values() ?? [])].reduce((sum, each) => sum + each, 0)
  const known = keyIds.map((key_id, at): KeyReport => {
    const values = count(key_id)
    if (at === 0) return { key_id, values, state: 'sealing' }
    if (values > 0) return { key_id, values, state: 'in use' }
    return { key_id, values, state: used.has(key_id) ? 'unused' : 'new' }
  })
  const missing = [...inUse.keys()].filter((id) => !keyIds.includes(id))
  return [
    ...known,
    ...missing.map((key_id) => ({ key_id, values: count(key_id), state: 'missing' as const })),
  ]
}

function show({ key_id, values, state }: KeyReport): void {
  if (state === 'missing') {
    console.error(`key "${key_id}": ${values} values; it is not in ENCRYPTION_KEYS: put it back`)
    return
  }
  const meaning = {
    sealing: 'seals new values',
    'in use': 'still in use',
    new: 'seals nothing yet; move it to the front once every replica has it',
    unused: 'no longer in use here; each replica checks the responses on its own disk',
  }[state]
  console.log(`key "${key_id}": ${values} values; ${meaning}`)
}
