import type { Command } from '@commander-js/extra-typings'
import { JSON_FLAG } from '../common/options.ts'

/** Defines `drill`. */
export function defineDrill(command: Command): void {
  command
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Restores the escrow into a scratch database and compares the result with the
database of DATABASE_URL: how many accounts would need a new consent if that one
was lost now. Spends nothing and changes nothing but the scratch database.

Without SCRATCH_URL it creates an empty database beside the real one and drops
it afterwards. With SCRATCH_URL in the environment, it uses that database:
restore your backup there first, and the result is that of the backup and the
escrow together.

Exit codes: 0 no account would be lost; 1 some would be, or the escrow has gaps.

Example:
  $ amo-broker drill`,
    )
    .action(async (options) => (await import('./run-drill.ts')).drill(options))
}
