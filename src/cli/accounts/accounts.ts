import type { Command } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { RemovedSchema } from '../../contract/accounts.ts'
import type { TokenSchema } from '../../contract/tokens.ts'
import { accountPath, callBroker } from '../common/broker-api.ts'
import { reportFailure } from '../common/failure.ts'
import { ACCOUNT, INTEGRATION_OF_ACCOUNT, JSON_FLAG, YES_FLAG } from '../common/options.ts'
import { printJson, printTable, timeText } from '../common/output.ts'
import { confirm } from '../common/secret-input.ts'
import { defineAttempts, defineReaders } from './account-history.ts'
import { ACCOUNT_TABLE, type Account, showAccount } from './account-view.ts'
import { defineCheck } from './check-account.ts'
import { defineClean } from './clean-accounts.ts'
import { defineImport } from './import-accounts.ts'
import { defineLabel } from './label-account.ts'
import { defineList } from './list-accounts.ts'

const ACTIONS = {
  approve: {
    summary: 'start to serve the tokens of pending accounts',
    example: 'amo-broker accounts approve acme',
  },
  'take-over': {
    summary: 'end the shadow of imported accounts: this broker refreshes them',
    example: 'amo-broker accounts list --shadow --names | xargs amo-broker accounts take-over',
  },
  pause: {
    summary: 'stop refreshing; tokens are still served until they expire',
    example: 'amo-broker accounts pause acme demo',
  },
  resume: {
    summary: 'refresh again after a pause',
    example: 'amo-broker accounts resume acme demo',
  },
} as const

/** Defines `accounts …`. */
export function defineAccounts(accounts: Command): void {
  defineList(accounts.command('list').description('list accounts and their state'))
  defineShow(accounts.command('show').description('show everything about one account'))
  defineCheck(accounts.command('check').description("call an account's API with its token"))
  defineLabel(accounts.command('label').description('name an account, for people'))
  defineAttempts(
    accounts.command('attempts').description('list the refresh attempts of an account'),
  )
  defineReaders(
    accounts.command('readers').description('list who has read a token in the last week'),
  )
  defineRefresh(
    accounts.command('refresh').description('replace a token that the provider no longer accepts'),
  )
  for (const [name, { summary, example }] of Object.entries(ACTIONS)) {
    accounts
      .command(name)
      .description(summary)
      .argument('<accounts...>', 'account ids, domains or subdomains')
      .option(...INTEGRATION_OF_ACCOUNT)
      .option(...JSON_FLAG)
      .addHelpText('after', `\nExample:\n  $ ${example.replace(' | ', ' |\n      ')}`)
      .action((names, options) => actOnAll(name, names, options))
  }
  defineRemove(
    accounts.command('remove').description('remove an account and every copy of its tokens'),
  )
  defineClean(
    accounts.command('clean').description('remove accounts that have had no use for long'),
  )
  defineImport(
    accounts.command('import').description('import existing token pairs or long-lived tokens'),
  )
}

/** Acts on each account in turn. A failure does not stop the others. */
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
      process.exitCode = reportFailure(error)
    }
  }
  const [first] = done
  if (names.length === 1 && first !== undefined) showAccount(first, json)
  else if (json) printJson(done)
  else printTable(done, ACCOUNT_TABLE)
}

function defineShow(show: Command): void {
  show
    .argument(...ACCOUNT)
    .option(...INTEGRATION_OF_ACCOUNT)
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  $ amo-broker accounts show acme')
    .action(async (account, { integration, json }) => {
      const query = { integration }
      showAccount(await callBroker<Account>('GET', accountPath(account), { query }), json)
    })
}

function defineRefresh(refresh: Command): void {
  refresh
    .argument(...ACCOUNT)
    .option(...INTEGRATION_OF_ACCOUNT)
    .option('--force', 'replace it even if it still works')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
The provider is asked first, and a token that works is kept. The new token is
not printed: services get it from GET /tokens/<account>.

Example:
  $ amo-broker accounts refresh acme`,
    )
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

function defineRemove(remove: Command): void {
  remove
    .argument(...ACCOUNT)
    .option(...INTEGRATION_OF_ACCOUNT)
    .option(...YES_FLAG)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Asks for confirmation. Prints what was removed and what remains.

Example:
  $ amo-broker accounts remove acme`,
    )
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
