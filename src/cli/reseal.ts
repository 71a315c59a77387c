import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { loadConfig } from '../config.ts'
import { ConfigError } from '../config-checks.ts'
import { openDatabase } from '../db/database.ts'
import { openRedis } from '../db/redis.ts'
import { Spool } from '../db/spool.ts'
import { Keys, type KeyUse } from '../keys/service.ts'

const HELP = `npm run reseal [-- --check]

Moves every sealed value to the first key of ENCRYPTION_KEYS: in the database, in Redis, and the answers in DATA_DIR. It may
run beside the broker and be broken off at any time. The broker does the same by itself every ten minutes; with
embedded storage only the broker can.

  --check   only count what is sealed under which key

Exit code 0 when everything is under the first key, 1 when something is not.
`

const { values } = parseArgs({ options: { check: { type: 'boolean' }, help: { type: 'boolean' } } })
if (values.help) console.log(HELP)
else {
  try {
    await main()
  } catch (error) {
    const { code, message } = error as { code?: string; message: string }
    const problems =
      error instanceof ConfigError ? error.problems : [`not resealed: ${message || code}`]
    for (const problem of problems) console.error(`amo-token-broker: ${problem}`)
    process.exitCode = 1
  }
}

async function main(): Promise<void> {
  const config = await loadConfig(process.env)
  const { keyRing, deploymentId } = config
  const log = pino({ level: 'silent' })
  const database = await openDatabase(config, log)
  const redis = config.redisUrl === null ? null : await openRedis(config.redisUrl, log)
  try {
    const spool = new Spool(config.dataDir)
    const keys = new Keys({ database, redis, spool, keyRing, deploymentId, log })
    if (!values.check) {
      for await (const { place, resealed, unreadable } of keys.reseal()) {
        const rest = unreadable === 0 ? '' : `, ${unreadable} cannot be opened`
        console.log(`${place.padEnd(22)} ${resealed} resealed${rest}`)
      }
    }
    report(await keys.inUse(), keyRing.keyIds)
  } finally {
    redis?.disconnect()
    await database.close()
  }
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
