import { type Command, Option } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { AccountSchema } from '../accounts/schemas.ts'
import type { TokenSchema } from '../tokens/schemas.ts'
import { callBroker, callPages } from './api.ts'
import { UsageError } from './failure.ts'
import { ACCOUNT, INTEGRATION_OF_ACCOUNT, JSON_FLAG } from './options.ts'
import { type Column, printFields, printJson, printTable, relative, timeText } from './output.ts'

export type Account = Static<typeof AccountSchema>

const COLUMNS: Column<Account>[] = [
  { title: 'ACCOUNT', of: ({ domain }) => domain },
  { title: 'ID', of: (account) => account.account_id },
  { title: 'INTEGRATION', of: ({ integration }) => integration },
  { title: 'STATUS', of: ({ status, paused }) => (paused ? `${status}, paused` : status) },
  { title: 'TOKEN EXPIRES', of: (account) => relative(account.expires_at) },
  { title: 'LAST REFRESH', of: (account) => relative(account.last_refresh_at) },
  { title: 'LAST ERROR', of: (account) => account.last_error?.code },
]

/** `accounts …` */
export function accountCommands(program: Command): void {
  const accounts = program.command('accounts').description('the accounts that are kept alive')
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
    .option(...JSON_FLAG)
    .action(async ({ integration, status, json }) => {
      const all = await callPages<Account>('/accounts', 'accounts')
      const wanted = all.filter(
        (account) =>
          (integration === undefined || account.integration === integration) &&
          (status === undefined || account.status === status),
      )
      if (json) printJson(wanted)
      else printTable(wanted, COLUMNS, 'no account')
    })
  showCommand(accounts)
  refreshCommand(accounts)
  for (const [name, description] of [
    ['approve', 'hands its token out from now on: of an account that nobody expected'],
    ['pause', 'serves what it has and does not refresh it'],
    ['resume', 'refreshes it again'],
  ] as const) {
    accounts
      .command(name)
      .description(description)
      .argument(...ACCOUNT)
      .option(...INTEGRATION_OF_ACCOUNT)
      .option(...JSON_FLAG)
      .action(async (account, { integration, json }) => {
        show(
          await callBroker<Account>('POST', pathOf(account, name), { query: { integration } }),
          json,
        )
      })
  }
}

function showCommand(accounts: Command): void {
  accounts
    .command('show')
    .description('all that is known of one, and what to do about its last error')
    .argument(...ACCOUNT)
    .option(...INTEGRATION_OF_ACCOUNT)
    .option(...JSON_FLAG)
    .action(async (account, { integration, json }) => {
      show(await callBroker<Account>('GET', pathOf(account), { query: { integration } }), json)
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
      const { generation } = await callBroker<Account>('GET', pathOf(account), { query })
      const body = force ? { force: true } : { generation }
      const path = `/tokens/${encodeURIComponent(account)}/refresh`
      const { access_token: _, ...token } = await callBroker<Static<typeof TokenSchema>>(
        'POST',
        path,
        { query, body },
      )
      if (json) return printJson(token)
      const isNew = token.generation !== generation
      console.log(
        isNew
          ? `A new token, generation ${token.generation}, expires ${timeText(token.expires_at)}.`
          : `The token works and was not replaced: generation ${token.generation}, expires ${timeText(token.expires_at)}.`,
      )
    })
}

function pathOf(account: string, action?: string): string {
  if (account === '') throw new UsageError('the account is empty')
  const path = `/accounts/${encodeURIComponent(account)}`
  return action === undefined ? path : `${path}/${action}`
}

function show(account: Account, json: true | undefined): void {
  if (json) printJson(account)
  else showFields(account)
}

function showFields(account: Account): void {
  const error = account.last_error
  printFields({
    account: account.domain,
    id: account.account_id,
    integration: account.integration,
    kind: account.kind,
    status: account.paused ? `${account.status}, paused` : account.status,
    generation: account.generation,
    'token expires': timeText(account.expires_at),
    'refresh planned': timeText(account.next_attempt_at ?? account.refresh_at),
    'last refresh': timeText(account.last_refresh_at),
    'refresh token expires': timeText(account.refresh_token_expires_at),
    'failed attempts': account.failed_attempts,
    'connected since': timeText(account.created_at),
    'last error': error === null ? undefined : `${error.code}, ${timeText(error.at)}`,
    problem: error?.problem,
    remedy: error?.remedy,
  })
}
