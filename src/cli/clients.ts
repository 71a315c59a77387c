import { type Command, InvalidArgumentError, Option } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { ClientSchema } from '../clients/schemas.ts'
import { callBroker, callPages } from './api.ts'
import { JSON_FLAG, wholeNumber } from './options.ts'
import { type Column, printJson, printTable, relative } from './output.ts'
import { confirm } from './secret-input.ts'

type Client = Static<typeof ClientSchema>
type Grant = Client['grants'][number]

const COLUMNS: Column<Client>[] = [
  { title: 'CLIENT', of: ({ name }) => name },
  { title: 'ROLE', of: ({ role }) => role },
  { title: 'GRANTS', of: ({ grants }) => grants.map(grantText).join(' ') || null },
  { title: 'KEYS', of: ({ keys }) => keys.map((key) => key.key_id).join(' ') || null },
  { title: 'REVOKED', of: (client) => relative(client.revoked_at) },
]

/** `clients …` */
export function clientCommands(program: Command): void {
  const clients = program
    .command('clients')
    .description('the services that may ask for tokens, and what they were granted')
  clients
    .command('list')
    .description('all of them, without their keys')
    .option(...JSON_FLAG)
    .action(async ({ json }) => {
      const all = await callPages<Client>('/clients', 'clients')
      if (json) printJson(all)
      else printTable(all, COLUMNS, 'no client: OPERATOR_KEY is the only key')
    })
  createCommand(clients)
  clients
    .command('revoke')
    .description('ends all its keys, for good')
    .argument('<client>', 'its name')
    .option('--yes', 'asks nothing')
    .action(async (client, { yes }) => {
      if (!yes) await confirm(`Type ${client} to end all its keys:`, client)
      await callBroker('DELETE', `/clients/${encodeURIComponent(client)}`)
      console.log(`The keys of ${client} open nothing any more.`)
    })
}

function createCommand(clients: Command): void {
  clients
    .command('create')
    .description('a key for a service, shown this once')
    .argument('<client>', 'its name')
    .addOption(
      new Option('--role <role>', 'reader: tokens of its grants; monitor: states; operator: all')
        .choices(['reader', 'monitor', 'operator'])
        .default('reader'),
    )
    .option('--grant <integration/account...>', 'an account by id or domain, or *', addGrant, [])
    .option('--expires-in-days <days>', 'when its key ends by itself', wholeNumber)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
The key alone goes to standard output:
  $ amo-broker clients create shop --grant amocrm/demo --grant kommo/kwid.kommo.com > shop.key
  $ amo-broker clients create export --grant 'amocrm/*' --expires-in-days 90`,
    )
    .action(async (name, { role, grant: grants, expiresInDays: expires_in_days, json }) => {
      const body = { name, role, grants, expires_in_days }
      const minted = await callBroker<{ client: Client; key: string }>('POST', '/clients', { body })
      if (json) return printJson(minted)
      console.log(minted.key)
      console.error(`The key of ${name}, shown this once: the broker keeps a hash of it.`)
    })
}

function addGrant(text: string, before: Grant[]): Grant[] {
  const [integration, account, ...more] = text.split('/')
  if (!integration || !account || more.length > 0) {
    throw new InvalidArgumentError('A grant is integration/account, such as amocrm/demo.')
  }
  return [...before, { integration, account }]
}

function grantText({ integration, account }: Grant): string {
  return `${integration}/${account}`
}
