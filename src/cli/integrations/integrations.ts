import type { Command } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { RemovedIntegrationSchema } from '../../contract/integrations.ts'
import { callBroker } from '../common/broker-api.ts'
import { JSON_FLAG, positiveNumber, YES_FLAG } from '../common/options.ts'
import { printJson } from '../common/output.ts'
import { confirm, readSecret } from '../common/secret-input.ts'
import { defineButton } from './integration-button.ts'
import { type Integration, integrationPath, showIntegrations } from './integration-view.ts'
import { defineSet } from './set-integration.ts'

const NAME = ['<integration>', 'name of the integration'] as const

/** Defines `integrations …`. */
export function defineIntegrations(integrations: Command): void {
  integrations
    .command('list')
    .description('list integrations, and why one sends nothing')
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  $ amo-broker integrations list')
    .action(async ({ json }) => {
      const path = '/integrations'
      const { integrations } = await callBroker<{ integrations: Integration[] }>('GET', path)
      showIntegrations(integrations, json)
    })
  for (const [name, summary] of [
    ['pause', 'stop all refreshes; tokens are still served until they expire'],
    ['resume', 'refresh again after a pause, or after it halted itself'],
  ] as const) {
    integrations
      .command(name)
      .description(summary)
      .argument(...NAME)
      .option(...JSON_FLAG)
      .addHelpText('after', `\nExample:\n  $ amo-broker integrations ${name} amocrm`)
      .action(async (integration, { json }) => {
        const path = `${integrationPath(integration)}/${name}`
        showIntegrations([await callBroker<Integration>('POST', path)], json)
      })
  }
  defineSet(integrations.command('set').description('create or change an integration'))
  defineButton(
    integrations.command('button').description("print the HTML of the platform's install button"),
  )
  definePace(integrations.command('pace').description('set how many refreshes are sent per second'))
  defineNextSecret(
    integrations.command('next-secret').description('store the client secret that will come next'),
  )
  defineRemove(
    integrations.command('remove').description('remove an integration that has no accounts'),
  )
}

function definePace(command: Command): void {
  command
    .argument(...NAME)
    .argument('<per-second>', 'refreshes per second, or default for PACE_PER_SECOND')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
It stays after a restart. The provider allows 7 requests per second per
integration, and blocks an integration that often sends more.

Examples:
  $ amo-broker integrations pace amocrm 5
  $ amo-broker integrations pace amocrm default`,
    )
    .action(async (integration, pace, { json }) => {
      const pace_per_second = pace === 'default' ? pace : positiveNumber(pace)
      const call = { body: { pace_per_second } }
      const path = integrationPath(integration)
      showIntegrations([await callBroker<Integration>('PATCH', path, call)], json)
    })
}

function defineNextSecret(command: Command): void {
  command
    .argument(...NAME)
    .option('--remove', 'remove the stored next secret')
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
The broker tries the next secret as soon as the provider refuses the present
one. Store it before you renew the secret at the provider. It is read from a
prompt, from standard input or from CLIENT_SECRET.

Example:
  $ amo-broker integrations next-secret amocrm`,
    )
    .action(async (integration, { remove, json }) => {
      const path = `${integrationPath(integration)}/next-client-secret`
      if (remove) await callBroker('DELETE', path)
      else {
        const request = { variable: 'CLIENT_SECRET', label: 'Next client secret' }
        await callBroker('PUT', path, { body: { client_secret: await readSecret(request) } })
      }
      if (json) return printJson({ integration, has_next_client_secret: !remove })
      console.log(remove ? 'Removed.' : 'Stored. Renew the secret at the provider now.')
    })
}

function defineRemove(command: Command): void {
  command
    .argument(...NAME)
    .option(...YES_FLAG)
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Asks for confirmation. Prints what was removed and what remains.

Example:
  $ amo-broker integrations remove old-kommo`,
    )
    .action(async (name, { yes, json }) => {
      if (!yes) await confirm(`Type ${name} to remove it with its client secrets:`, name)
      const path = integrationPath(name)
      const gone = await callBroker<Static<typeof RemovedIntegrationSchema>>('DELETE', path)
      if (json) return printJson(gone)
      console.log(`${gone.name} is removed: ${gone.removed.join(', ')}.`)
      for (const each of gone.remains) console.log(`  remains: ${each}`)
    })
}
