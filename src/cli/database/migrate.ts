import type { Command } from '@commander-js/extra-typings'
import { JSON_FLAG } from '../common/options.ts'
import { printJson } from '../common/output.ts'

/** Defines `migrate`. */
export function defineMigrate(command: Command): void {
  command
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Run it before brokers of a new version start. Several at once are safe.

Example:
  $ amo-broker migrate`,
    )
    .action(async ({ json }) => {
      const { migrateToLatest } = await import('../../db/migrate.ts')
      const { withDatabase } = await import('../common/with-database.ts')
      await withDatabase(async (_config, database) => {
        const { migrated, isNewer } = await database.withDirect(migrateToLatest)
        if (json) return printJson({ migrated, newer: isNewer })
        if (isNewer) console.log('newer than this version: nothing to migrate')
        else if (migrated.length === 0) console.log('nothing to migrate')
        else console.log(`migrated: ${migrated.join(', ')}`)
      })
    })
}
