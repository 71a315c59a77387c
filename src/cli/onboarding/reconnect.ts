import type { Command } from '@commander-js/extra-typings'
import { callBroker } from '../common/broker-api.ts'
import { UsageError } from '../common/failure.ts'
import { JSON_FLAG } from '../common/options.ts'
import { printJson, printTable, type Table } from '../common/output.ts'

interface Link {
  account_id: number
  integration: string
  domain: string | null
  status: string
  last_error: string | null
  url: string
}

const TABLE: Table<Link> = {
  columns: [
    { title: 'ACCOUNT', of: ({ domain, account_id }) => domain ?? account_id },
    { title: 'INTEGRATION', of: ({ integration }) => integration },
    { title: 'STATUS', of: ({ status }) => status },
    { title: 'LAST ERROR', of: ({ last_error }) => last_error },
  ],
  empty: 'no account needs a new consent',
  note: ({ url }) => url,
}

/** Defines `reconnect`. */
export function defineReconnect(command: Command): void {
  command
    .argument('[accounts...]', 'account ids (default: all that need a new consent)')
    .option('--integration <name>', 'only accounts of this integration')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Without ids it prints a link for each account that is reauth_required or
disconnected. A link works for its account only and stays the same for a week.

Example:
  $ amo-broker reconnect --json > links.json`,
    )
    .action(async (names, { integration, json }) => {
      const accounts = names.map(parseId)
      const links = await collectLinks({
        ...(accounts.length === 0 ? {} : { accounts }),
        ...(integration === undefined ? {} : { integration }),
      })
      if (json) printJson(links)
      else printTable(links, TABLE)
    })
}

async function collectLinks(order: object): Promise<Link[]> {
  const all: Link[] = []
  let after: string | undefined
  do {
    const body = after === undefined ? order : { ...order, after }
    const path = '/connect-links/reconnect'
    const page = await callBroker<{ links: Link[]; next: string | null }>('POST', path, { body })
    all.push(...page.links)
    after = page.next ?? undefined
  } while (after !== undefined)
  return all
}

function parseId(name: string): number {
  if (!/^[1-9]\d{0,14}$/.test(name)) throw new UsageError(`${name} is not an account id`)
  return Number(name)
}
