import { type Command, Option } from '@commander-js/extra-typings'
import { callBroker } from './api.ts'
import { UsageError } from './failure.ts'
import { JSON_FLAG } from './options.ts'
import { printJson, timeText } from './output.ts'

interface Button {
  html: string
  expires_at: string
  secrets_uri: string | null
}

/** `integrations button` */
export function buttonCommand(integrations: Command): void {
  integrations
    .command('button')
    .description("the platform's button for a page of yours: its HTML")
    .argument('[integration]', 'its name; none: with --external, the button makes one')
    .option('--external', 'makes an integration in the account of whoever presses it')
    .addOption(
      new Option('--provider <provider>', 'of an external one').choices(['amocrm', 'kommo']),
    )
    .option('--redirect-uri <uri>', 'of an external one: on the public listener of this broker')
    .option('--sandbox-origin <origin>', 'of an external one: talks to this sandbox for ever')
    .option('--name <name>', 'of the external integration, as the account sees it')
    .option('--description <text>', 'the same')
    .option('--logo <url>', 'the same')
    .option('--scope <scope...>', 'the same')
    .option('--title <text>', 'on the button')
    .option('--account <account>', 'the only account that it is for')
    .addOption(
      new Option('--mode <mode>', 'how the consent page comes back').choices([
        'popup',
        'post_message',
      ]),
    )
    .option(
      '--opener-origin <origin>',
      'of the page that it stands on, and that is told the outcome',
    )
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
A button connects one account, once: it carries a state that is as good as a connect link.

Examples:
  $ amo-broker integrations button amocrm --title Connect > button.html
  $ amo-broker integrations button --external --provider kommo --name 'Our CRM bridge' \\
      --redirect-uri https://broker.example.com/integrations/kommo/oauth/callback`,
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
