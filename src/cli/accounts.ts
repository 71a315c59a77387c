import { type Command, Option } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { RemovedSchema } from '../accounts/schemas.ts'
import type { TokenSchema } from '../tokens/schemas.ts'
import { type Account, findAccounts, showAccount, statusText } from './account.ts'
import { accountPath, callBroker } from './api.ts'
import { checkCommand } from './check.ts'
import { tellFailure } from './failure.ts'
import { importCommand } from './import.ts'
import { ACCOUNT, INTEGRATION_OF_ACCOUNT, JSON_FLAG } from './options.ts'
import { type Column, printJson, printTable, relative, timeText } from './output.ts'
import { confirm } from './secret-input.ts'

const COLUMNS: Column<Account>[] = [
  { title: 'ACCOUNT', of: ({ domain }) => domain },
  { title: 'ID', of: (account) => account.account_id },
  { title: 'INTEGRATION', of: ({ integration }) => integration },
  { title: 'STATUS', of: statusText },
  { title: 'TOKEN EXPIRES', of: (account) => relative(account.expires_at) },
  { title: 'LAST REFRESH', of: (account) => relative(account.last_refresh_at) },
  { title: 'LAST ERROR', of: (account) => account.last_error?.code },
]

const ACTIONS = {
  approve: 'hands its token out from now on: of an account that nobody expected',
  'take-over': 'ends the shadow of an imported account: this broker refreshes it from now on',
  pause: 'serves what it has and does not refresh it',
  resume: 'refreshes it again',
} as const

/** `accounts …` */
export function accountCommands(program: Command): void {
  const accounts = program.command('accounts').description('the accounts that are kept alive')
  listCommand(accounts)
  accounts
    .command('show')
    .description('all that is known of one, and what to do about its last error')
    .argument(...ACCOUNT)
    .option(...INTEGRATION_OF_ACCOUNT)
    .option(...JSON_FLAG)
    .action(async (account, { integration, json }) => {
      const query = { integration }
      showAccount(await callBroker<Account>('GET', accountPath(account), { query }), json)
    })
  checkCommand(accounts)
  refreshCommand(accounts)
  for (const [name, description] of Object.entries(ACTIONS)) {
    accounts
      .command(name)
      .description(description)
      .argument('<accounts...>', 'account ids, domains or subdomains')
      .option(...INTEGRATION_OF_ACCOUNT)
      .option(...JSON_FLAG)
      .action((names, options) => actOnAll(name, names, options))
  }
  removeCommand(accounts)
  importCommand(accounts)
}

/** One after the other; one that fails does not stop the rest. */
async function actOnAll(
  action: string,
  names: string[],
  { integration, json }: { integration?: string | undefined; json?: true | undefined },
): Promise<void> {
  const done: Account[] = []
  for (const name of names) {
    const path = accountPath(name, action)
    try {
      done.push(await callBroker<Account>('POST', path, { query: { integration } }))
    } catch (error) {
      if (names.length === 1) throw error
      console.error(`${name}:`)
      process.exitCode = tellFailure(error)
    }
  }
  const [first] = done
  if (names.length === 1 && first !== undefined) showAccount(first, json)
  else if (json) printJson(done)
  else printTable(done, COLUMNS, 'none of them')
}

function listCommand(accounts: Command): void {
  accounts
    .command('list')
    .description('the state of all of them')
    .option('--integration <name>', 'of this integration alone')
    .addOption(
      new Option('--status <status>', 'in this state alone').choices([
        'pending',
        'active',
        'reauth_required',
        'disconnected',
      ]),
    )
    .option('--shadow', 'those alone that another service still refreshes')
    .option('--names', 'domains alone, for xargs')
    .option(...JSON_FLAG)
    .action(async ({ integration, status, shadow, names, json }) => {
      const wanted = (await findAccounts()).filter(
        (account) =>
          (integration === undefined || account.integration === integration) &&
          (status === undefined || account.status === status) &&
          (!shadow || account.shadow),
      )
      if (names) for (const each of wanted) console.log(each.domain ?? each.account_id)
      else if (json) printJson(wanted)
      else printTable(wanted, COLUMNS, 'no account')
    })
}

function refreshCommand(accounts: Command): void {
  accounts
    .command('refresh')
    .description('asks the provider whether the token is dead, and only then replaces it')
    .argument(...ACCOUNT)
    .option(...INTEGRATION_OF_ACCOUNT)
    .option('--force', 'replaces it in any case')
    .option(...JSON_FLAG)
    .addHelpText('after', '\nThe token itself is not shown: GET /tokens/:account hands it out.')
    .action(async (account, { integration, force, json }) => {
      const query = { integration }
      const { generation } = await callBroker<Account>('GET', accountPath(account), { query })
      const body = force ? { force: true } : { generation }
      const { access_token: _, ...token } = await callBroker<Static<typeof TokenSchema>>(
        'POST',
        `/tokens/${encodeURIComponent(account)}/refresh`,
        { query, body },
      )
      if (json) return printJson(token)
      const isNew = token.generation !== generation
      const what = isNew ? 'A new token' : 'The token works and was not replaced'
      console.log(`${what}: generation ${token.generation}, expires ${timeText(token.expires_at)}.`)
    })
}

function removeCommand(accounts: Command): void {
  accounts
    .command('remove')
    .description('removes it with every copy of its tokens, and says what remains')
    .argument(...ACCOUNT)
    .option(...INTEGRATION_OF_ACCOUNT)
    .option('--yes', 'asks nothing')
    .option(...JSON_FLAG)
    .action(async (account, { integration, yes, json }) => {
      const query = { integration }
      if (!yes) await confirm(`Type ${account} to remove it with its tokens:`, account)
      const path = accountPath(account)
      const gone = await callBroker<Static<typeof RemovedSchema>>('DELETE', path, { query })
      if (json) return printJson(gone)
      console.log(`${gone.domain ?? gone.account_id} is removed:`)
      for (const each of gone.removed) console.log(`  - ${each}`)
      console.log('What remains:')
      for (const each of gone.remains) console.log(`  - ${each}`)
    })
}
