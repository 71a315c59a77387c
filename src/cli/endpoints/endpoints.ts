import { type Command, InvalidArgumentError } from '@commander-js/extra-typings'
import { callBroker } from '../common/broker-api.ts'
import { JSON_FLAG, YES_FLAG } from '../common/options.ts'
import { printJson, printTable } from '../common/output.ts'
import { confirm } from '../common/secret-input.ts'
import { defineDeliveries, defineResend } from './deliveries.ts'
import {
  ENDPOINT_NAME,
  ENDPOINT_TABLE,
  type Endpoint,
  type EndpointWithSecret,
  endpointPath,
  showEndpoint,
  showSecret,
} from './endpoint-view.ts'
import { defineChange, defineCreate } from './save-endpoint.ts'
import { defineTest } from './test-endpoint.ts'

const HOUR_SECONDS = 3_600
const OVERLAP_HOURS = 24

/** Defines `endpoints …`. */
export function defineEndpoints(endpoints: Command): void {
  endpoints
    .command('list')
    .description('list endpoints and whether they take messages')
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  $ amo-broker endpoints list')
    .action(async ({ json }) => {
      const { endpoints: all } = await callBroker<{ endpoints: Endpoint[] }>('GET', '/endpoints')
      if (json) printJson(all)
      else printTable(all, ENDPOINT_TABLE)
    })
  endpoints
    .command('show')
    .description('show one endpoint without its secrets')
    .argument(...ENDPOINT_NAME)
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  $ amo-broker endpoints show duty')
    .action(async (name, { json }) =>
      showEndpoint(await callBroker<Endpoint>('GET', endpointPath(name)), json),
    )
  defineCreate(endpoints.command('create').description('create a webhook, or a chat to write to'))
  defineChange(endpoints.command('change').description('change where and what is sent'))
  defineTest(endpoints.command('test').description('send a test message and wait for the answer'))
  defineDeliveries(
    endpoints.command('deliveries').description('list deliveries and their responses'),
  )
  defineResend(endpoints.command('resend').description('send deliveries again'))
  defineRotate(
    endpoints.command('rotate-secret').description('print a new signing secret; the old one ends'),
  )
  for (const [name, summary] of [
    ['disable', 'send nothing; later events are not stored for it'],
    ['enable', 'send again, and send the messages that waited'],
  ] as const) {
    endpoints
      .command(name)
      .description(summary)
      .argument(...ENDPOINT_NAME)
      .option(...JSON_FLAG)
      .addHelpText('after', `\nExample:\n  $ amo-broker endpoints ${name} duty`)
      .action(async (endpoint, { json }) =>
        showEndpoint(await callBroker<Endpoint>('POST', endpointPath(endpoint, `/${name}`)), json),
      )
  }
  defineRemove(endpoints.command('remove').description('remove an endpoint and its deliveries'))
}

function defineRotate(command: Command): void {
  command
    .argument(...ENDPOINT_NAME)
    .option(
      '--overlap-hours <hours>',
      'how long messages are signed with the old secret, too; 0 ends it now',
      overlap,
      OVERLAP_HOURS,
    )
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
During the overlap a receiver accepts messages with either secret, so that it
can change at any moment.

Example:
  $ amo-broker endpoints rotate-secret crm-sync > crm-sync.secret`,
    )
    .action(async (name, { overlapHours, json }) => {
      const body = { overlap_seconds: Math.round(overlapHours * HOUR_SECONDS) }
      const path = endpointPath(name, '/rotate-secret')
      showSecret(await callBroker<EndpointWithSecret>('POST', path, { body }), json)
    })
}

function defineRemove(command: Command): void {
  command
    .argument(...ENDPOINT_NAME)
    .option(...YES_FLAG)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      '\nAsks for confirmation.\n\nExample:\n  $ amo-broker endpoints remove duty',
    )
    .action(async (endpoint, { yes, json }) => {
      if (!yes) await confirm(`Type ${endpoint} to remove it with its deliveries:`, endpoint)
      await callBroker('DELETE', endpointPath(endpoint))
      if (json) printJson({ name: endpoint, removed: true })
      else console.log(`Removed ${endpoint}.`)
    })
}

function overlap(text: string): number {
  const hours = Number(text)
  if (text.trim() === '' || !(hours >= 0)) {
    throw new InvalidArgumentError('It must be a number of hours.')
  }
  return hours
}
