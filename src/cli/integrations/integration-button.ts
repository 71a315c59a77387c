import { type Command, Option } from '@commander-js/extra-typings'
import { PROVIDER_NAMES } from '../../provider/profile-table.ts'
import { callBroker } from '../common/broker-api.ts'
import { UsageError } from '../common/failure.ts'
import { JSON_FLAG } from '../common/options.ts'
import { printJson, timeText } from '../common/output.ts'

interface Button {
  html: string
  expires_at: string
  secrets_uri: string | null
}

/** Defines `integrations button`. */
export function defineButton(command: Command): void {
  command
    .argument('[integration]', 'name of an existing integration')
    .option('--external', 'the button creates an integration in the account instead')
    .option('--title <text>', 'text on the button')
    .option('--account <account>', 'the only account that it may connect')
    .addOption(
      new Option('--mode <mode>', 'how the consent page returns').choices([
        'popup',
        'post_message',
      ]),
    )
    .option('--opener-origin <origin>', 'origin of the page with the button; it gets the result')
    .option(...JSON_FLAG)
    .optionsGroup('Options with --external:')
    .addOption(new Option('--provider <provider>', 'its platform').choices(PROVIDER_NAMES))
    .option('--redirect-uri <uri>', 'on the public listener of this broker')
    .option('--sandbox-origin <origin>', 'use this sandbox, never the platform')
    .option('--name <name>', 'name that the account sees')
    .option('--description <text>', 'description that the account sees')
    .option('--logo <url>', 'logo that the account sees')
    .option('--scope <scope...>', 'scopes that the account grants')
    .addHelpText(
      'after',
      `
A button connects one account, once. It contains a state, so treat it as you
would treat a connect link.

Examples:
  $ amo-broker integrations button amocrm --title Connect > button.html
  $ amo-broker integrations button --external --provider kommo \\
      --name 'Our CRM bridge' --redirect-uri \\
      https://broker.example.com/integrations/kommo/oauth/callback`,
    )
    .action(async (integration, { json, ...options }) => {
      const { external, provider, redirectUri, sandboxOrigin, openerOrigin, scope, ...look } =
        options
      if ((integration === undefined) !== (external === true)) {
        throw new UsageError('give the name of an integration, or --external')
      }
      if (external && (provider === undefined || redirectUri === undefined)) {
        throw new UsageError('--external needs --provider and --redirect-uri')
      }
      const made = { provider, redirect_uri: redirectUri, sandbox_origin: sandboxOrigin }
      const body = {
        ...look,
        scopes: scope,
        opener_origin: openerOrigin,
        ...(external ? { external: made } : { integration }),
      }
      const button = await callBroker<Button>('POST', '/buttons', { body })
      if (json) return printJson(button)
      console.log(button.html)
      console.error(`It connects one account, once, and expires ${timeText(button.expires_at)}.`)
    })
}
