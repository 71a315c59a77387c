import { type Command, Option } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { OnboardingSchema } from '../onboarding/schemas.ts'
import { callBroker } from './api.ts'
import { UsageError } from './failure.ts'
import { JSON_FLAG, wholeNumber } from './options.ts'
import { type Column, printJson, printTable, relative, timeText } from './output.ts'

type Onboarding = Static<typeof OnboardingSchema>

interface Link {
  account_id: number
  integration: string
  domain: string | null
  status: string
  last_error: string | null
  url: string
}

const LINKS: Column<Link>[] = [
  { title: 'ACCOUNT', of: ({ domain, account_id }) => domain ?? account_id },
  { title: 'INTEGRATION', of: ({ integration }) => integration },
  { title: 'STATUS', of: ({ status }) => status },
  { title: 'LAST ERROR', of: ({ last_error }) => last_error },
  { title: 'LINK', of: ({ url }) => url },
]

const ONBOARDINGS: Column<Onboarding>[] = [
  { title: 'WHEN', of: ({ received_at }) => relative(received_at) },
  { title: 'BY', of: ({ origin }) => origin },
  { title: 'INTEGRATION', of: ({ integration }) => integration },
  { title: 'ACCOUNT', of: ({ domain, host }) => domain ?? host },
  { title: 'OUTCOME', of: ({ outcome }) => outcome ?? 'under way' },
  { title: 'REMEDY', of: ({ remedy }) => remedy },
]

/** `connect`, `reconnect` and `onboardings`. */
export function onboardingCommands(program: Command): void {
  connectCommand(program)
  program
    .command('reconnect')
    .description('a link for each account that a person must authorize again')
    .argument('[accounts...]', 'their ids; none: all that are reauth_required or disconnected')
    .option('--integration <name>', 'of this integration alone')
    .option(...JSON_FLAG)
    .addHelpText('after', '\nEach link is for its account alone, and the same for a week.')
    .action(async (names, { integration, json }) => {
      const accounts = names.map(idOf)
      const links = await reconnectLinks({
        ...(accounts.length === 0 ? {} : { accounts }),
        ...(integration === undefined ? {} : { integration }),
      })
      if (json) printJson(links)
      else printTable(links, LINKS, 'nobody has to authorize anything again')
    })
  program
    .command('onboardings')
    .description('what came in, and how it ended, the newest first')
    .option('--limit <rows>', 'so many at the most', wholeNumber, 100)
    .option(...JSON_FLAG)
    .action(async ({ limit, json }) => {
      const all = await readOnboardings(limit)
      if (json) printJson(all)
      else printTable(all, ONBOARDINGS, 'nothing came in yet')
    })
}

function connectCommand(program: Command): void {
  program
    .command('connect')
    .description("a link that leads an account's administrator to the consent page")
    .requiredOption('--integration <name>', 'the integration to install')
    .option('--account <account>', 'id, domain or subdomain of the only account that it is for')
    .addOption(
      new Option('--mode <mode>', 'how the consent page comes back')
        .choices(['popup', 'post_message'])
        .default('popup'),
    )
    .option('--opener-origin <origin>', 'of the page that opens the link, and is told the outcome')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
The link may be sent by mail or chat: it works once, for seven days, in one browser.

Example:
  $ amo-broker connect --integration kommo --account kwid.kommo.com`,
    )
    .action(async ({ json, openerOrigin: opener_origin, ...order }) => {
      const body = { ...order, opener_origin }
      const link = await callBroker<{ url: string; expires_at: string }>('POST', '/connect-links', {
        body,
      })
      if (json) return printJson(link)
      console.log(link.url)
      console.error(`For an administrator of the account. It expires ${timeText(link.expires_at)}.`)
    })
}

async function reconnectLinks(order: object): Promise<Link[]> {
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

async function readOnboardings(limit: number): Promise<Onboarding[]> {
  const all: Onboarding[] = []
  let before: string | undefined
  do {
    const page = await callBroker<{ onboardings: Onboarding[]; next: string | null }>(
      'GET',
      '/onboardings',
      { query: { before } },
    )
    all.push(...page.onboardings)
    before = page.next ?? undefined
  } while (before !== undefined && all.length < limit)
  return all.slice(0, limit)
}

function idOf(name: string): number {
  if (!/^[1-9]\d{0,14}$/.test(name)) throw new UsageError(`${name} is no account id`)
  return Number(name)
}
