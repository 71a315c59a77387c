import type { Command } from '@commander-js/extra-typings'
import { JSON_FLAG, positiveNumber } from '../common/options.ts'

/** Defines `verify`. */
export function defineVerify(command: Command): void {
  command
    .option('--pace <probes>', 'probes per second (default: PACE_PER_SECOND)', positiveNumber)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Changes no account. Works on a restored copy of the database, whichever
deployment it belongs to. With embedded storage the broker must be stopped.
Disconnected accounts and long-lived tokens are not probed.

  alive        the provider accepts the refresh token
  dead         it does not: the account needs a new consent
  unclear      the provider gave no clear response: try again
  busy         the account was being refreshed: try again
  unreadable   no key in ENCRYPTION_KEYS opens the token

Exit codes: 0 every account is alive; 1 at least one is not.

Example:
  $ amo-broker verify --pace 2`,
    )
    .action(async (options) => (await import('./probe-tokens.ts')).probeTokens(options))
}
