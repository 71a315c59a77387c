import type { Command } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { EventSchema } from '../../contract/events.ts'
import { callBroker, streamBroker } from '../common/broker-api.ts'
import { JSON_FLAG, wholeNumber } from '../common/options.ts'
import { printJson, printTable, type Table } from '../common/output.ts'

type Event = Static<typeof EventSchema>

interface Page {
  events: Event[]
  next: number
  more: boolean
}

const PAGE = 500

const TABLE: Table<Event> = {
  columns: [
    { title: 'WHEN', of: ({ timestamp }) => timestamp.replace(/\.\d+/, '') },
    { title: 'EVENT', of: ({ type }) => type },
    { title: 'ON', of: subjectOf },
    { title: 'STATE', of: ({ data }) => data.state },
    { title: 'REASON', of: ({ data }) => data.reason },
  ],
  empty: 'no events',
}

/** Defines `events list` and `events tail`. */
export function defineEvents(events: Command): void {
  events
    .command('list')
    .description('list the newest events, the oldest of them first')
    .option('--limit <rows>', 'maximum number of rows', wholeNumber, 50)
    .option('--after <position>', 'only events after this position', wholeNumber)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Example:
  $ amo-broker events list --limit 20`,
    )
    .action(async ({ limit, after, json }) => {
      const newest = await readNewest(limit, after ?? 0)
      if (json) printJson(newest)
      else printTable(newest, TABLE)
    })
  events
    .command('tail')
    .description('print events as they happen, until it is interrupted')
    .option('--after <position>', 'begin after this position instead of now', wholeNumber)
    .option('--json', 'print one JSON document per line')
    .addHelpText(
      'after',
      `
Example:
  $ amo-broker events tail --json | jq .type`,
    )
    .action(async ({ after, json }) => {
      for await (const line of streamBroker('/events/stream', { after })) {
        if (!line.startsWith('data: ')) continue
        const event = JSON.parse(line.slice('data: '.length)) as Partial<Event>
        // A token that must not be used any more is news for programs only.
        if (event.type === undefined) continue
        console.log(json ? JSON.stringify(event) : lineOf(event as Event))
      }
    })
}

async function readNewest(limit: number, from: number): Promise<Event[]> {
  const newest: Event[] = []
  let page: Page
  let after = from
  do {
    page = await callBroker<Page>('GET', '/events', { query: { after, limit: PAGE } })
    newest.push(...page.events)
    newest.splice(0, Math.max(0, newest.length - limit))
    after = page.next
  } while (page.more)
  return newest
}

function lineOf(event: Event): string {
  const { data } = event
  const parts = [event.timestamp, event.type, subjectOf(event), data.problem]
  return parts.filter((part) => part !== null).join('  ')
}

function subjectOf({ data }: Event): string | null {
  const { integration, account_id, domain } = data
  if (account_id !== null) return `${integration ?? '?'}/${domain ?? account_id}`
  return integration ?? data.breaker ?? data.part ?? data.client ?? data.endpoint ?? null
}
