import type { Command } from '@commander-js/extra-typings'
import { JSON_FLAG, YES_FLAG } from '../common/options.ts'

/** Defines `adopt`. */
export function defineAdopt(command: Command): void {
  command
    .option(...YES_FLAG)
    .option('--force', 'go on although the other deployment looks alive')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
For a database that was moved or restored for good, after the other deployment
has ended. From then on the brokers of this DEPLOYMENT_ID refresh its accounts.
Two deployments that refresh the same accounts, each from its own copy of the
database, destroy them.

Example:
  $ amo-broker adopt`,
    )
    .action(async (options) => (await import('./adopt-database.ts')).adopt(options))
}
