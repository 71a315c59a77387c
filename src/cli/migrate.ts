import { pino } from 'pino'
import { loadConfig } from '../config.ts'
import { ConfigError } from '../config-checks.ts'
import { openDatabase } from '../db/database.ts'
import { migrateToLatest } from '../db/migrate.ts'

try {
  const config = await loadConfig(process.env)
  const database = await openDatabase(config, pino({ level: 'silent' }))
  try {
    const done = await database.withDirect(migrateToLatest)
    console.log(done.length === 0 ? 'nothing to migrate' : `migrated: ${done.join(', ')}`)
  } finally {
    await database.close()
  }
} catch (error) {
  const { code, message } = error as { code?: string; message: string }
  const problems =
    error instanceof ConfigError ? error.problems : [`not migrated: ${message || code || error}`]
  for (const problem of problems) console.error(`amo-token-broker: ${problem}`)
  process.exitCode = 1
}
