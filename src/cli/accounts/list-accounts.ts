import { type Command, Option } from '@commander-js/extra-typings'
import { JSON_FLAG, wholeNumber } from '../common/options.ts'
import { printJson, printTable } from '../common/output.ts'
import { ACCOUNT_TABLE, findAccounts } from './account-view.ts'

/** Defines `accounts list`. */
export function defineList(list: Command): void {
  list
    .option('--integration <name>', 'only accounts of this integration')
    .addOption(
      new Option('--status <status>', 'only accounts in this state').choices([
        'pending',
        'active',
        'reauth_required',
        'disconnected',
      ]),
    )
    .option('--search <text>', 'the beginning of an id, a domain or a word of a label')
    .option('--error [code]', 'only accounts with this last error, or with any')
    .option('--warning', 'only accounts that will stop unless somebody acts')
    .option('--shadow', 'only accounts that another service still refreshes')
    .option('--paused', 'only accounts whose refreshes are stopped')
    .addOption(
      new Option('--order <order>', 'how they are sorted')
        .choices(['account', 'next_refresh', 'expiry'])
        .default('account'),
    )
    .option('--limit <rows>', 'maximum number of rows (default: all)', wholeNumber)
    .option('--names', 'print domains only, for xargs')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
The broker filters and sorts, so a large fleet costs no more than what is
printed.

Examples:
  $ amo-broker accounts list --status reauth_required
  $ amo-broker accounts list --order expiry --limit 20
  $ amo-broker accounts list --search acme`,
    )
    .action(async ({ search, error, warning, limit, names, json, ...same }) => {
      const query = {
        ...same,
        q: search,
        error: error === true ? 'any' : error,
        warning: warning && 'any',
      }
      const found = await findAccounts(query, limit)
      if (names) for (const each of found) console.log(each.domain ?? each.account_id)
      else if (json) printJson(found)
      else printTable(found, ACCOUNT_TABLE)
    })
}
