import type { Command } from '@commander-js/extra-typings'
import { JSON_FLAG, positiveNumber } from './options.ts'

/** The commands that work on the broker's own database, with the broker's own settings. */
export function databaseCommands(program: Command): void {
  program
    .command('migrate')
    .description('brings the database to the newest schema; several at once are safe')
    .action(async () => (await import('./migrate.ts')).migrate())

  program
    .command('reseal')
    .description('moves every sealed value to the first key of ENCRYPTION_KEYS')
    .option('--check', 'only counts what is sealed under which key')
    .addHelpText(
      'after',
      `
In the database, in Redis, and the answers in DATA_DIR. It may run beside the broker and be broken off at any time. The
broker does the same by itself every ten minutes; with embedded storage only the broker can.

Exit code 0 when everything is under the first key, 1 when something is not.`,
    )
    .action(async (options) => (await import('./reseal.ts')).reseal(options))

  program
    .command('verify')
    .description("asks the provider about every account's refresh token, and spends none")
    .option('--pace <probes>', 'a second (PACE_PER_SECOND)', positiveNumber)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Changes no account, and works on a restored copy of the database, whichever deployment it belongs to. The company's services
share the provider's 7 requests a second. In embedded mode the broker must be stopped.

Exit code 0 only when every account is alive. "busy" is one that was being refreshed: ask again. "unreadable" is one whose
token does not open with ENCRYPTION_KEYS. Disconnected accounts and long-lived tokens are not asked about.`,
    )
    .action(async (options) => (await import('./verify.ts')).verify(options))

  program
    .command('adopt')
    .description('binds the database to this DEPLOYMENT_ID, whose brokers refresh from then on')
    .option('--yes', 'asks nothing')
    .option('--force', 'also when the other deployment looks alive')
    .addHelpText(
      'after',
      `
For a database that was moved or restored for good, once the other deployment has ended. Two deployments that refresh the
same accounts, each from its own copy, destroy them.`,
    )
    .action(async (options) => (await import('./adopt.ts')).adopt(options))
}
