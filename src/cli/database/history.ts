import type { Command } from '@commander-js/extra-typings'
import { JSON_FLAG } from '../common/options.ts'

/** Defines `history verify`. */
export function defineHistory(history: Command): void {
  history
    .command('verify')
    .description('verify what the brokers recorded about refreshes')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Reads the refresh attempts of the last ATTEMPT_DAYS with their steps, the audit
and the present pairs, in one snapshot, and changes nothing. Brokers may run
meanwhile; with embedded storage the broker must be stopped. They do the same by
themselves once a day (amo_history_violations).

Exit codes: 0 every rule holds; 1 one was broken.

Example:
  $ amo-broker history verify`,
    )
    .action(async (options) => (await import('./check-history.ts')).checkHistory(options))
}
