import { type Command, Option } from '@commander-js/extra-typings'
import { callBroker } from '../common/broker-api.ts'
import { UsageError } from '../common/failure.ts'
import { JSON_FLAG, wholeNumber } from '../common/options.ts'
import { printJson, printTable, relative, type Table } from '../common/output.ts'
import { type Delivery, ENDPOINT_NAME, endpointPath } from './endpoint-view.ts'

const LIMIT = 50

const DELIVERY_TABLE: Table<Delivery> = {
  columns: [
    { title: 'ID', of: ({ id }) => id },
    { title: 'CREATED', of: (delivery) => relative(delivery.created_at) },
    { title: 'EVENT', of: ({ type, events }) => (events === 1 ? type : `${events} × ${type}`) },
    { title: 'ACCOUNT', of: accountOf },
    { title: 'STATE', of: ({ state }) => state },
    { title: 'FAILED', of: (delivery) => delivery.failed_attempts },
    { title: 'HTTP', of: (delivery) => delivery.last_status },
    { title: 'ERROR', of: (delivery) => delivery.last_error },
    { title: 'NEXT', of: (delivery) => relative(delivery.next_attempt_at) },
  ],
  empty: 'no deliveries',
}

/** Defines `endpoints deliveries`. */
export function defineDeliveries(command: Command): void {
  command
    .argument(...ENDPOINT_NAME)
    .addOption(
      new Option('--state <state>', 'only deliveries in this state').choices([
        'pending',
        'delivered',
        'failed',
      ]),
    )
    .option('--limit <number>', 'how many, the newest first', wholeNumber, LIMIT)
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  $ amo-broker endpoints deliveries duty --state failed')
    .action(async (name, { state, limit, json }) => {
      const deliveries = await listDeliveries(name, state, limit)
      if (json) printJson(deliveries)
      else printTable(deliveries, DELIVERY_TABLE)
    })
}

/** Defines `endpoints resend`. */
export function defineResend(command: Command): void {
  command
    .argument(...ENDPOINT_NAME)
    .argument('<ids...>', 'as endpoints deliveries shows them')
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  $ amo-broker endpoints resend duty 4711')
    .action(async (name, ids, { json }) => {
      for (const id of ids.map(idOf)) {
        await callBroker('POST', endpointPath(name, `/deliveries/${id}/resend`))
        if (!json) console.log(`Delivery ${id} is on its way.`)
      }
      if (json) printJson({ endpoint: name, resent: ids.map(Number) })
    })
}

async function listDeliveries(
  name: string,
  state: string | undefined,
  limit: number,
): Promise<Delivery[]> {
  const all: Delivery[] = []
  let before: number | undefined
  do {
    const page = await callBroker<{ deliveries: Delivery[]; next: number | null }>(
      'GET',
      endpointPath(name, '/deliveries'),
      { query: { state, before } },
    )
    all.push(...page.deliveries)
    before = page.next ?? undefined
  } while (before !== undefined && all.length < limit)
  return all.slice(0, limit)
}

function accountOf({ integration, account_id }: Delivery): string | null {
  return account_id === null ? integration : `${integration}/${account_id}`
}

function idOf(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text)
  throw new UsageError(`"${text}" is not the id of a delivery`)
}
