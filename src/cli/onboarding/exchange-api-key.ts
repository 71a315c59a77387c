import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { ExchangeSchema } from '../../contract/onboarding.ts'
import { callBroker } from '../common/broker-api.ts'
import { Failure, UsageError } from '../common/failure.ts'
import { JSON_FLAG, wholeNumber } from '../common/options.ts'
import { printJson } from '../common/output.ts'
import { readSecret } from '../common/secret-input.ts'

type Exchange = Static<typeof ExchangeSchema>

const POLL_MS = 1_000
/** The provider's server calls within seconds, if it calls at all. */
const WAIT_SECONDS = 60

/** Defines `exchange-api-key`, the amoCRM guide's alternative to consent. */
export function defineExchangeApiKey(command: Command): void {
  command
    .option('--integration <name>', 'must be installed in the account already')
    .option('--domain <domain>', 'domain of the account, such as reforyou.amocrm.ru')
    .option('--login <email>', 'login of the user who owns the API key')
    .option('--wait <seconds>', 'how long to wait for the outcome', wholeNumber, WAIT_SECONDS)
    .option('--ask <id>', 'print the outcome of an exchange that was started before')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
The API key is read from a prompt, from standard input or from API_KEY. The
provider's server then sends a code to the redirect URI. The provider allows one
exchange in five minutes per user and integration.

Example:
  $ amo-broker exchange-api-key --integration amocrm \\
      --domain reforyou.amocrm.ru --login email@example.com`,
    )
    .action(async ({ integration, domain, login, wait, ask, json }) => {
      const begun =
        ask === undefined ? await begin({ integration, domain, login }) : await find(ask)
      showOutcome(await waitForEnd(begun, wait), json)
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

async function waitForEnd(begun: Exchange, waitSeconds: number): Promise<Exchange> {
  let exchange = begun
  const endMs = performance.now() + waitSeconds * 1000
  while (exchange.outcome === null && performance.now() < endMs) {
    await delay(POLL_MS)
    exchange = await find(exchange.id)
  }
  return exchange
}

function showOutcome(exchange: Exchange, json: true | undefined): void {
  const { id, domain, outcome, account_id, problem, remedy } = exchange
  if (json) printJson(exchange)
  if (outcome === 'connected') {
    if (!json) console.log(`${domain} is connected: account ${account_id}.`)
    return
  }
  if (outcome !== null) throw new Failure(problem ?? `the outcome is ${outcome}`, { remedy })
  throw new Failure('the provider has not sent the code yet', {
    remedy:
      `Ask again with amo-broker exchange-api-key --ask ${id}. If it never comes, check that the ` +
      'integration is installed and that its redirect URI leads to this broker.',
  })
}
