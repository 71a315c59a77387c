import type { Command } from '@commander-js/extra-typings'
import { accountPath, callBroker } from '../common/broker-api.ts'
import { UsageError } from '../common/failure.ts'
import { ACCOUNT, INTEGRATION_OF_ACCOUNT, JSON_FLAG } from '../common/options.ts'
import { type Account, showAccount } from './account-view.ts'

/** Defines `accounts label`. */
export function defineLabel(command: Command): void {
  command
    .argument(...ACCOUNT)
    .argument('[label]', 'what you call it, such as the name of the customer')
    .option('--remove', 'remove the label')
    .option(...INTEGRATION_OF_ACCOUNT)
    .option(...JSON_FLAG)
    .addHelpText('after', "\nExample:\n  $ amo-broker accounts label acme 'Acme, Berlin'")
    .action(async (account, label, { remove, integration, json }) => {
      if ((label === undefined) !== (remove === true)) {
        throw new UsageError('give the label, or --remove')
      }
      const call = { query: { integration }, body: { label: label ?? null } }
      showAccount(await callBroker<Account>('PATCH', accountPath(account), call), json)
    })
}
