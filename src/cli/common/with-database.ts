import { pino } from 'pino'
import { type Config, loadConfig } from '../../config/load-config.ts'
import { type Database, openDatabase } from '../../db/database.ts'

/**
 * Runs `work` with the broker's own settings and database, then closes it. Throws `ConfigError`.
 */
export async function withDatabase<T>(
  work: (config: Config, database: Database) => Promise<T>,
): Promise<T> {
  const config = await loadConfig(process.env)
  const database = await openDatabase(config, pino({ level: 'silent' }))
  try {
    return await work(config, database)
  } finally {
    await database.close()
  }
}
