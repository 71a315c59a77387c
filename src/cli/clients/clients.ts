import { type Command, Option } from '@commander-js/extra-typings'
import { callBroker, callPages } from '../common/broker-api.ts'
import { JSON_FLAG, wholeNumber, YES_FLAG } from '../common/options.ts'
import { printJson, printTable } from '../common/output.ts'
import { confirm } from '../common/secret-input.ts'
import { defineGrant, defineWithdraw } from './client-grants.ts'
import { defineAddKey, defineEndKey } from './client-keys.ts'
import {
  CLIENT_NAME,
  CLIENT_TABLE,
  type Client,
  clientPath,
  findClient,
  grantsFrom,
  type MintedKey,
  showClient,
  showKey,
  warnWithoutGrants,
} from './client-view.ts'

/** Defines `clients …`. */
export function defineClients(clients: Command): void {
  clients
    .command('list')
    .description('list clients with their roles, grants and key ids')
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  $ amo-broker clients list')
    .action(async ({ json }) => {
      const all = await callPages<Client>('/clients', 'clients')
      if (json) printJson(all)
      else printTable(all, CLIENT_TABLE)
    })
  clients
    .command('show')
    .description('show one client, and when its keys expire')
    .argument(...CLIENT_NAME)
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  $ amo-broker clients show shop')
    .action(async (name, { json }) => showClient(await findClient(name), json))
  defineCreate(clients.command('create').description('create a client and print its key, once'))
  defineGrant(clients.command('grant').description('let a reader read tokens of more accounts'))
  defineWithdraw(clients.command('withdraw').description('withdraw grants of a reader'))
  defineAddKey(clients.command('add-key').description('print a second key; the first one ends'))
  defineEndKey(clients.command('end-key').description('end one key of a client now'))
  defineRevoke(clients.command('revoke').description('end all keys of a client for good'))
}

function defineCreate(command: Command): void {
  command
    .argument(...CLIENT_NAME)
    .addOption(
      new Option(
        '--role <role>',
        'reader: reads the tokens of its grants; monitor: sees the state of accounts; ' +
          'operator: may do everything',
      )
        .choices(['reader', 'monitor', 'operator'])
        .default('reader'),
    )
    .option('--grant <integration/account...>', 'an account by id or domain, or * for all')
    .option('--expires-in-days <days>', 'when the key expires (default: never)', wholeNumber)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Only the key goes to standard output. The broker stores a hash of it.

Examples:
  $ amo-broker clients create shop --grant amocrm/demo kommo/acme > shop.key
  $ amo-broker clients create export --grant 'amocrm/*' --expires-in-days 90`,
    )
    .action(async (name, { role, grant = [], expiresInDays: expires_in_days, json }) => {
      const body = { name, role, grants: grantsFrom(grant), expires_in_days }
      const minted = await callBroker<MintedKey>('POST', '/clients', { body })
      showKey(minted, json)
      warnWithoutGrants(minted.client)
    })
}

function defineRevoke(command: Command): void {
  command
    .argument(...CLIENT_NAME)
    .option(...YES_FLAG)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Asks for confirmation. The name cannot be used again. To replace one key, use
add-key and end-key.

Example:
  $ amo-broker clients revoke shop`,
    )
    .action(async (client, { yes, json }) => {
      if (!yes) await confirm(`Type ${client} to end all its keys:`, client)
      await callBroker('DELETE', clientPath(client))
      if (json) printJson({ name: client, revoked: true })
      else console.log(`All keys of ${client} have ended.`)
    })
}
