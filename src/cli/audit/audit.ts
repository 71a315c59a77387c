import type { Command } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { EntrySchema } from '../../contract/audit.ts'
import { callBroker } from '../common/broker-api.ts'
import { JSON_FLAG, time, wholeNumber } from '../common/options.ts'
import { printJson, printTable, type Table } from '../common/output.ts'

type Entry = Static<typeof EntrySchema>

interface Page {
  entries: Entry[]
  next: number | null
}

const TABLE: Table<Entry> = {
  columns: [
    { title: 'WHEN', of: ({ at }) => at.replace(/\.\d+/, '') },
    { title: 'WHO', of: ({ actor }) => actor },
    { title: 'DID', of: ({ action, times }) => (times > 1 ? `${action} ×${times}` : action) },
    { title: 'OUTCOME', of: ({ outcome }) => outcome },
    { title: 'ON', of: ({ integration, account_id }) => subjectOf(integration, account_id) },
    { title: 'DETAIL', of: ({ detail }) => detailText(detail) },
  ],
  empty: 'no entries',
}

/** Defines `audit list`, whose name can be left out, and `audit verify`. */
export function defineAudit(audit: Command): void {
  audit
    .command('list', { isDefault: true })
    .description('list who did what, newest first')
    .option('--actor <name>', 'a client, operator, nobody, or database (a trigger)')
    .option('--action <operation>', 'operation id, such as pauseAccount')
    .option('--outcome <code>', 'done, or an error code')
    .option('--integration <name>', 'name of the integration')
    .option('--account <id>', 'account id')
    .option('--since <time>', 'such as 2026-11-25 or 2026-11-25T08:00:00Z', time)
    .option('--until <time>', 'as --since', time)
    .option('--limit <rows>', 'maximum number of rows', wholeNumber, 100)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Example:
  $ amo-broker audit --action removeAccount --since 2026-11-01`,
    )
    .action(async ({ json, limit, ...filter }) => {
      const entries = await readEntries(filter, limit)
      if (json) printJson(entries)
      else printTable(entries, TABLE)
    })
  audit
    .command('verify')
    .description('verify the audit chain against the published heads')
    .option('--heads <file...>', 'more published heads, such as a log of the broker')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Finds rows that were changed, removed, inserted or cut off at the end. Reads the
database directly, and the heads in DATA_DIR.

Exit codes: 0 the chain is intact; 1 it is not.

Example:
  $ amo-broker audit verify --heads broker.log`,
    )
    .action(async (options) => (await import('./verify-audit.ts')).verifyAuditTrail(options))
}

async function readEntries(
  filter: Record<string, string | undefined>,
  limit: number,
): Promise<Entry[]> {
  const entries: Entry[] = []
  let before: number | undefined
  do {
    const page = await callBroker<Page>('GET', '/audit', { query: { ...filter, before } })
    entries.push(...page.entries)
    before = page.next ?? undefined
  } while (before !== undefined && entries.length < limit)
  return entries.slice(0, limit)
}

function subjectOf(integration: string | null, accountId: number | null): string | null {
  return accountId === null ? integration : `${integration ?? '?'}/${accountId}`
}

function detailText(detail: Entry['detail']): string | null {
  const parts = Object.entries(detail).map(([name, value]) => `${name}=${value}`)
  return parts.join(' ') || null
}
