import { pino } from 'pino'
import { type Config, loadConfig } from '../config.ts'
import { ConfigError } from '../config-checks.ts'
import { type Database, openDatabase } from '../db/database.ts'

/**
 * Runs an operator's command with the broker's own settings and database, and closes it afterwards. What goes wrong is told in a
 * line of its own and as exit code 1.
 */
export async function runCommand(
  work: (config: Config, database: Database) => Promise<void>,
): Promise<void> {
  try {
    const config = await loadConfig(process.env)
    const database = await openDatabase(config, pino({ level: 'silent' }))
    try {
      await work(config, database)
    } finally {
      await database.close()
    }
  } catch (error) {
    const { code, message } = error as { code?: string; message: string }
    const problems = error instanceof ConfigError ? error.problems : [message || code || error]
    for (const problem of problems) console.error(`amo-token-broker: ${problem}`)
    process.exitCode = 1
  }
}
