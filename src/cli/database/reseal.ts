import type { Command } from '@commander-js/extra-typings'
import { JSON_FLAG } from '../common/options.ts'

/** Defines `reseal`. */
export function defineReseal(command: Command): void {
  command
    .option('--check', 'only count what is sealed under which key')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Covers the database, Redis, and the provider responses in DATA_DIR. It may run
beside the broker and may be interrupted. The broker does the same by itself
every ten minutes; with embedded storage only the broker can.

Exit codes: 0 everything is under the first key; 1 something is not.

Example:
  $ amo-broker reseal --check`,
    )
    .action(async (options) => (await import('./reseal-everything.ts')).resealEverything(options))
}
