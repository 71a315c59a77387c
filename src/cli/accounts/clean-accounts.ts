import type { Command } from '@commander-js/extra-typings'
import { InvalidArgumentError } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { CleanedUpSchema } from '../../contract/account-history.ts'
import { callBroker } from '../common/broker-api.ts'
import { JSON_FLAG, YES_FLAG } from '../common/options.ts'
import { printJson, printTable, relative, type Table } from '../common/output.ts'
import { confirm } from '../common/secret-input.ts'
import type { Account } from './account-view.ts'

const TABLE: Table<Account> = {
  columns: [
    { title: 'ACCOUNT', of: ({ domain, label }) => label ?? domain },
    { title: 'ID', of: (account) => account.account_id },
    { title: 'INTEGRATION', of: ({ integration }) => integration },
    { title: 'STATUS', of: ({ status }) => status },
    { title: 'SINCE', of: (account) => relative(account.status_since) },
  ],
  empty: 'nothing to clean up',
}

type CleanedUp = Static<typeof CleanedUpSchema>

interface List {
  total: number
  accounts: Account[]
}

/** Defines `accounts clean`. */
export function defineClean(command: Command): void {
  command
    .requiredOption('--older-than <days>', 'for how long they must have been so, such as 90d', days)
    .option('--dry-run', 'only list them')
    .option(...YES_FLAG)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Lists accounts that have been reauth_required or disconnected for longer, and
pending ones that nobody has approved, asks for confirmation, and removes them
with their tokens. An account that is connected meanwhile is left alone.

Examples:
  $ amo-broker accounts clean --older-than 90d --dry-run
  $ amo-broker accounts clean --older-than 180d`,
    )
    .action(async ({ olderThan: older_than_days, dryRun, yes, json }) => {
      const { total, accounts } = await list(older_than_days)
      if (!json || (!dryRun && !yes)) printTable(accounts, TABLE)
      if (total > accounts.length && !json) console.log(`and ${total - accounts.length} more`)
      if (dryRun || total === 0) {
        if (json) printJson(dryRun ? { total, accounts } : { removed: [], left: [] })
        return
      }
      if (!yes) await confirm(`Type ${total} to remove these accounts:`, String(total))
      const done = await removeAll(older_than_days, accounts)
      if (json) return printJson(done)
      console.log(`${done.removed.length} removed, with their tokens.`)
      if (done.left.length > 0) {
        console.log(`${done.left.length} left alone: connected or removed meanwhile.`)
      }
    })
}

function list(older_than_days: number): Promise<List> {
  return callBroker<List>('GET', '/clean-up', { query: { older_than_days } })
}

/** Removes page after page, until a page removes nothing. */
async function removeAll(older_than_days: number, first: Account[]): Promise<CleanedUp> {
  const all: CleanedUp = { removed: [], left: [] }
  for (let page = first; page.length > 0; ) {
    const accounts = page.map(({ integration, account_id }) => ({ integration, account_id }))
    const body = { older_than_days, accounts }
    const done = await callBroker<CleanedUp>('POST', '/clean-up', { body })
    all.removed.push(...done.removed)
    all.left.push(...done.left)
    if (done.removed.length === 0) break
    page = (await list(older_than_days)).accounts
  }
  return all
}

function days(text: string): number {
  const [, number] = /^([1-9]\d{0,3})d?$/.exec(text) ?? []
  if (number === undefined) {
    throw new InvalidArgumentError('It must be a number of days, such as 90d.')
  }
  return Number(number)
}
