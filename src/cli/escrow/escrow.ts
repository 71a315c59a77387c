import type { Command } from '@commander-js/extra-typings'
import { JSON_FLAG, YES_FLAG } from '../common/options.ts'

/** Defines `escrow status`, whose name can be left out, `escrow restore` and `escrow off`. */
export function defineEscrow(escrow: Command): void {
  escrow
    .command('status', { isDefault: true })
    .description('show what is in the escrow, and how far it is behind')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Reads the whole escrow. Names a missing or altered part and a key that is not in
ENCRYPTION_KEYS.

Exit codes: 0 a restore would find every row; 1 it would not.

Example:
  $ amo-broker escrow`,
    )
    .action(async (options) => (await import('./escrow-status.ts')).showEscrow(options))
  escrow
    .command('restore')
    .description('bring a restored backup to the newest pairs of the escrow')
    .option('--dry-run', 'show what would change, and change nothing')
    .option('--force', 'restore even if brokers look alive or the escrow is incomplete')
    .option(...YES_FLAG)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Stop every broker first. Restore the backup into the database of DATABASE_URL.
Then this command brings pairs, integrations, clients and removals to their
newest state. Nothing is sent: each account is probed before its token is sent
for the first time. Afterwards start the brokers, those with their old DATA_DIR
first.

Example:
  $ amo-broker escrow restore --dry-run`,
    )
    .action(async (options) => (await import('./restore-escrow.ts')).restoreEscrow(options))
  escrow
    .command('off')
    .description('stop recording changes, after ESCROW_URL was removed')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Without ESCROW_URL nobody appends what is recorded, and it would pile up. The
next broker with ESCROW_URL begins a new snapshot.

Example:
  $ amo-broker escrow off`,
    )
    .action(async (options) => (await import('./escrow-status.ts')).turnOff(options))
}
