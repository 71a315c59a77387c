import type { Command } from '@commander-js/extra-typings'
import type { Static } from 'typebox'
import type { RemovedIntegrationSchema } from '../integrations/schemas.ts'
import { callBroker } from './api.ts'
import { buttonCommand } from './button.ts'
import { type Integration, integrationPath, setCommand } from './integration-set.ts'
import { JSON_FLAG } from './options.ts'
import { type Column, printJson, printTable } from './output.ts'
import { confirm, readSecret } from './secret-input.ts'

const COLUMNS: Column<Integration>[] = [
  { title: 'INTEGRATION', of: ({ name }) => name },
  { title: 'PROVIDER', of: ({ provider, sandbox_origin }) => sandbox_origin ?? provider },
  { title: 'STATE', of: ({ state }) => state },
  { title: 'PACE', of: ({ pace_per_second }) => `${pace_per_second}/s` },
  {
    title: 'BREAKERS',
    of: ({ breakers }) => breakers.map(({ reason }) => reason).join(', ') || null,
  },
  { title: 'WHY', of: ({ state_reason, last_error }) => state_reason ?? last_error?.remedy },
]

/** `integrations …` */
export function integrationCommands(program: Command): void {
  const integrations = program
    .command('integrations')
    .description('the credentials that the accounts were connected with')
  integrations
    .command('list')
    .description('all of them: whether they send, and why not')
    .option(...JSON_FLAG)
    .action(async ({ json }) => {
      show(
        (await callBroker<{ integrations: Integration[] }>('GET', '/integrations')).integrations,
        json,
      )
    })
  for (const [name, description] of [
    ['pause', 'sends nothing for it, and serves what its accounts have'],
    ['resume', 'sends again; of one that halted itself, once you know why'],
  ] as const) {
    integrations
      .command(name)
      .description(description)
      .argument('<integration>', 'its name')
      .option(...JSON_FLAG)
      .action(async (integration, { json }) => {
        show(
          [await callBroker<Integration>('POST', `${integrationPath(integration)}/${name}`)],
          json,
        )
      })
  }
  setCommand(integrations, show)
  buttonCommand(integrations)
  nextSecretCommand(integrations)
  removeCommand(integrations)
}

function nextSecretCommand(integrations: Command): void {
  integrations
    .command('next-secret')
    .description('the client secret to try once the provider refuses the present one')
    .argument('<integration>', 'its name')
    .option('--remove', 'takes it back')
    .addHelpText(
      'after',
      '\nThe secret is asked for, or read from standard input or CLIENT_SECRET.',
    )
    .action(async (integration, { remove }) => {
      const path = `${integrationPath(integration)}/next-client-secret`
      if (remove) await callBroker('DELETE', path)
      else {
        const request = { variable: 'CLIENT_SECRET', label: 'Next client secret' }
        await callBroker('PUT', path, { body: { client_secret: await readSecret(request) } })
      }
      console.log(
        remove
          ? 'Taken back.'
          : 'Kept. Renew the secret at the provider now: this one is then tried.',
      )
    })
}

function removeCommand(integrations: Command): void {
  integrations
    .command('remove')
    .description('removes one that has no accounts, and says what remains')
    .argument('<integration>', 'its name')
    .option('--yes', 'asks nothing')
    .action(async (name, { yes }) => {
      if (!yes) await confirm(`Type ${name} to remove it with its client secrets:`, name)
      const path = integrationPath(name)
      const gone = await callBroker<Static<typeof RemovedIntegrationSchema>>('DELETE', path)
      console.log(`${gone.name} is removed: ${gone.removed.join(', ')}.`)
      for (const each of gone.remains) console.log(`  remains: ${each}`)
    })
}

function show(integrations: Integration[], json: true | undefined): void {
  if (json) printJson(integrations)
  else printTable(integrations, COLUMNS, 'no integration')
}
