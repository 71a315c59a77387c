import type { Command } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { EntrySchema } from '../audit/routes.ts'
import { callBroker } from './api.ts'
import { JSON_FLAG, time, wholeNumber } from './options.ts'
import { type Column, printJson, printTable } from './output.ts'

type Entry = Static<typeof EntrySchema>

interface Page {
  entries: Entry[]
  next: number | null
}

const COLUMNS: Column<Entry>[] = [
  { title: 'WHEN', of: ({ at }) => at },
  { title: 'WHO', of: ({ actor }) => actor },
  { title: 'DID', of: ({ action, times }) => (times > 1 ? `${action} ×${times}` : action) },
  { title: 'OUTCOME', of: ({ outcome }) => outcome },
  { title: 'INTEGRATION', of: ({ integration }) => integration },
  { title: 'ACCOUNT', of: (entry) => entry.account_id },
  { title: 'DETAIL', of: ({ detail }) => detailText(detail) },
]

/** `audit list`, which may be left out, and `audit verify`. */
export function auditCommands(program: Command): void {
  const audit = program.command('audit').description('who did what')
  audit
    .command('list', { isDefault: true })
    .description('the newest first')
    .option('--actor <name>', 'client, operator, nobody, broker, or database: psql')
    .option('--action <operation>', 'the id of an operation, such as pauseAccount')
    .option('--outcome <code>', 'done, or the code of an error')
    .option('--integration <name>', 'its name')
    .option('--account <id>', 'of the account')
    .option('--since <time>', 'such as 2026-11-25 or 2026-11-25T08:00:00Z', time)
    .option('--until <time>', 'the same', time)
    .option('--limit <rows>', 'so many at the most', wholeNumber, 100)
    .option(...JSON_FLAG)
    .action(async ({ json, limit, ...filter }) => {
      const entries = await readEntries(filter, limit)
      if (json) printJson(entries)
      else printTable(entries, COLUMNS, 'no entry')
    })
  audit
    .command('verify')
    .description('whether a row was changed, removed, put in between, or cut off at the end')
    .option('--heads <file...>', 'published heads besides those of DATA_DIR, such as a log')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      '\nExit code 0 when the audit is whole, 1 when not. Reads the database itself.',
    )
    .action(async (options) => (await import('./audit-verify.ts')).verifyAuditTrail(options))
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

function detailText(detail: Entry['detail']): string | null {
  const parts = Object.entries(detail).map(([name, value]) => `${name}=${value}`)
  return parts.join(' ') || null
}
