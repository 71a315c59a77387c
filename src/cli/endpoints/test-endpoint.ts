import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from '@commander-js/extra-typings'
import { callBroker } from '../common/broker-api.ts'
import { Failure } from '../common/failure.ts'
import { JSON_FLAG } from '../common/options.ts'
import { printable, printJson } from '../common/output.ts'
import { type Delivery, ENDPOINT_NAME, endpointPath } from './endpoint-view.ts'

/** One attempt ends within 15 s. */
const LIMIT_MS = 30_000
const POLL_MS = 250

/** Defines `endpoints test`. */
export function defineTest(command: Command): void {
  command
    .argument(...ENDPOINT_NAME)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Sends a message and waits for the first attempt. Exit code 1 if it failed: it is
tried again like every message.

Example:
  $ amo-broker endpoints test duty`,
    )
    .action(async (name, { json }) => {
      const path = endpointPath(name)
      const { event_id } = await callBroker<{ event_id: string }>('POST', `${path}/test`)
      const delivery = await findAttempted(path, event_id)
      if (json) printJson(delivery)
      else console.log(resultOf(name, delivery))
      if (delivery.state !== 'delivered') process.exitCode = 1
    })
}

async function findAttempted(path: string, event: string): Promise<Delivery> {
  const beganMs = performance.now()
  while (performance.now() - beganMs < LIMIT_MS) {
    const query = { event }
    const { deliveries } = await callBroker<{ deliveries: Delivery[] }>(
      'GET',
      `${path}/deliveries`,
      { query },
    )
    const [delivery] = deliveries
    if (delivery !== undefined && delivery.attempts.length > 0) return delivery
    await delay(POLL_MS)
  }
  throw new Failure('the message was not sent within 30 seconds', {
    remedy: 'Look at amo-broker endpoints deliveries, and at the log of the broker.',
  })
}

function resultOf(name: string, { attempts }: Delivery): string {
  const { status, error, ms, response } = attempts.at(-1) ?? {}
  const http = status ? `HTTP ${status}` : 'no response'
  if (!error) return `${name} took the message: ${http} after ${ms} ms`
  const said = response ? `, "${printable(response)}"` : ''
  return `${name} did not take the message: ${error}, ${http} after ${ms} ms${said}`
}
