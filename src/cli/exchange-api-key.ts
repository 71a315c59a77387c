import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { ExchangeSchema } from '../onboarding/exchange-routes.ts'
import { callBroker } from './api.ts'
import { Failure, UsageError } from './failure.ts'
import { JSON_FLAG, wholeNumber } from './options.ts'
import { printJson } from './output.ts'
import { readSecret } from './secret-input.ts'

type Exchange = Static<typeof ExchangeSchema>

const LOOK_EVERY_MS = 1_000
/** The provider's server calls within seconds, if it calls at all. */
const WAIT_SECONDS = 60

/** `exchange-api-key`: the amoCRM guide's alternative to consent. */
export function exchangeApiKeyCommand(program: Command): void {
  program
    .command('exchange-api-key')
    .description('connects an account by the login and the API key of an administrator')
    .option('--integration <name>', 'which must be installed in the account already')
    .option('--domain <domain>', 'of the account, such as reforyou.amocrm.ru')
    .option('--login <email>', 'of the user that the API key belongs to')
    .option('--wait <seconds>', 'for the outcome', wholeNumber, WAIT_SECONDS)
    .option('--ask <id>', 'how an exchange ended that was begun before')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
The API key is asked for, or read from standard input or API_KEY. The provider answers at once and its own server brings the
code to the redirect URI; once in five minutes by user and integration.

Example:
  $ amo-broker exchange-api-key --integration amocrm --domain reforyou.amocrm.ru --login email@example.com`,
    )
    .action(async ({ integration, domain, login, wait, ask, json }) => {
      const begun =
        ask === undefined ? await begin({ integration, domain, login }) : await find(ask)
      show(await settled(begun, wait), json)
    })
}

interface Order {
  integration: string | undefined
  domain: string | undefined
  login: string | undefined
}

async function begin(order: Order): Promise<Exchange> {
  const missing = Object.entries(order).find(([, value]) => value === undefined)
  if (missing !== undefined) throw new UsageError(`--${missing[0]} is missing`)
  const api_key = await readSecret({ variable: 'API_KEY', label: 'API key' })
  return callBroker<Exchange>('POST', '/accounts/exchange-api-key', { body: { ...order, api_key } })
}

function find(id: string): Promise<Exchange> {
  return callBroker<Exchange>('GET', `/accounts/exchanges/${encodeURIComponent(id)}`)
}

async function settled(begun: Exchange, waitSeconds: number): Promise<Exchange> {
  let exchange = begun
  const endMs = performance.now() + waitSeconds * 1000
  while (exchange.outcome === null && performance.now() < endMs) {
    await delay(LOOK_EVERY_MS)
    exchange = await find(exchange.id)
  }
  return exchange
}

function show(exchange: Exchange, json: true | undefined): void {
  const { id, domain, outcome, account_id, problem, remedy } = exchange
  if (json) printJson(exchange)
  if (outcome === 'connected') {
    if (!json) console.log(`${domain} is connected: account ${account_id}.`)
    return
  }
  if (outcome !== null) throw new Failure(problem ?? `it ended as ${outcome}`, { remedy })
  throw new Failure('the provider has not brought the code yet', {
    remedy: `Ask again: amo-broker exchange-api-key --ask ${id}. If it never comes: is the integration installed, and does its redirect URI lead here?`,
  })
}
