import type { Command } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { AttemptsSchema, ReadersSchema } from '../../contract/account-history.ts'
import { accountPath, callBroker } from '../common/broker-api.ts'
import { ACCOUNT, INTEGRATION_OF_ACCOUNT, JSON_FLAG, wholeNumber } from '../common/options.ts'
import { printJson, printTable, relative, type Table } from '../common/output.ts'

type Attempt = Static<typeof AttemptsSchema>['attempts'][number]
type Readers = Static<typeof ReadersSchema>

const MAX_PAGE = 200

const ATTEMPTS: Table<Attempt> = {
  columns: [
    { title: 'WHEN', of: (attempt) => relative(attempt.claimed_at) },
    { title: 'OUTCOME', of: ({ outcome }) => outcome ?? 'in progress' },
    { title: 'REASON', of: ({ reason }) => reason },
    { title: 'SENDS', of: ({ sends }) => sends },
    { title: 'STEPS', of: ({ steps }) => steps.map(({ kind }) => kind).join(', ') || null },
  ],
  empty: 'no refresh attempt is stored',
}

const READERS: Table<Readers['readers'][number]> = {
  columns: [
    { title: 'CLIENT', of: ({ client }) => client },
    { title: 'LAST READ', of: (reader) => relative(reader.last_read_at) },
  ],
  empty: 'no client has read it in the last week',
}

/** Defines `accounts attempts`. */
export function defineAttempts(command: Command): void {
  command
    .argument(...ACCOUNT)
    .option(...INTEGRATION_OF_ACCOUNT)
    .option('--failures', 'only attempts that failed')
    .option('--limit <rows>', 'maximum number of rows, at most 200', wholeNumber, 50)
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  $ amo-broker accounts attempts acme --failures')
    .action(async (account, { limit, json, ...same }) => {
      const query = { ...same, limit: Math.min(limit, MAX_PAGE) }
      const path = accountPath(account, 'attempts')
      const { attempts } = await callBroker<Static<typeof AttemptsSchema>>('GET', path, { query })
      if (json) printJson(attempts)
      else printTable(attempts, ATTEMPTS)
    })
}

/** Defines `accounts readers`. */
export function defineReaders(command: Command): void {
  command
    .argument(...ACCOUNT)
    .option(...INTEGRATION_OF_ACCOUNT)
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  $ amo-broker accounts readers acme')
    .action(async (account, { integration, json }) => {
      const path = accountPath(account, 'readers')
      const found = await callBroker<Readers>('GET', path, { query: { integration } })
      if (json) printJson(found)
      else printTable(found.readers, READERS)
    })
}
