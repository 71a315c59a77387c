import type { Command } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { LinkProgressSchema } from '../../contract/connect-links.ts'
import { callBroker } from '../common/broker-api.ts'
import { UsageError } from '../common/failure.ts'
import { JSON_FLAG, wholeNumber } from '../common/options.ts'
import { printJson, printTable, relative, type Table } from '../common/output.ts'

type Link = Static<typeof LinkProgressSchema>

const LIMIT = 100

const TABLE: Table<Link> = {
  columns: [
    { title: 'ID', of: ({ id }) => id },
    { title: 'MADE', of: ({ created_at }) => relative(created_at) },
    { title: 'BY', of: ({ created_by }) => created_by },
    { title: 'INTEGRATION', of: ({ integration }) => integration },
    { title: 'FOR', of: ({ account }) => account ?? 'any account' },
    { title: 'STATE', of: ({ state }) => state },
    { title: 'EXPIRES', of: ({ expires_at }) => relative(expires_at) },
  ],
  empty: 'no link was made yet',
  note: ({ failure, remedy }) => (failure === null ? undefined : `${failure}: ${remedy}`),
}

/** Defines `links …`. */
export function defineLinks(links: Command): void {
  links
    .command('list')
    .description('list links and what became of them')
    .option('--limit <rows>', 'maximum number of rows', wholeNumber, LIMIT)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
The newest comes first. A link that failed still works until it expires. Links
that the broker makes by itself, such as those of reconnect, are not listed.

Example:
  $ amo-broker links list --limit 20`,
    )
    .action(async ({ limit, json }) => {
      const all = await readLinks(limit)
      if (json) printJson(all)
      else printTable(all, TABLE)
    })
  links
    .command('withdraw')
    .description('end a link that was not used')
    .argument('<id>', 'as links list shows it')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      '\nExample:\n  $ amo-broker links withdraw 0b6f3a1e-7c5d-4a8e-9b1f-2d3c4e5f6a7b',
    )
    .action(async (id, { json }) => {
      if (!/^[0-9a-f-]{36}$/i.test(id)) throw new UsageError(`"${id}" is not the id of a link`)
      await callBroker('DELETE', `/connect-links/${id}`)
      if (json) printJson({ id, withdrawn: true })
      else console.log('The link is withdrawn. It leads nowhere now.')
    })
}

async function readLinks(limit: number): Promise<Link[]> {
  const all: Link[] = []
  let before: string | undefined
  do {
    const page = await callBroker<{ links: Link[]; next: string | null }>('GET', '/connect-links', {
      query: { before },
    })
    all.push(...page.links)
    before = page.next ?? undefined
  } while (before !== undefined && all.length < limit)
  return all.slice(0, limit)
}
