import { type Command, Option } from '@commander-js/extra-typings'
import { callBroker } from './api.ts'
import { JSON_FLAG } from './options.ts'
import { printJson, timeText } from './output.ts'

/** `connect`, and the ways in that need no browser. */
export function onboardingCommands(program: Command): void {
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
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
The link may be sent by mail or chat: it works once, for seven days, in one browser.

Example:
  $ amo-broker connect --integration kommo --account kwid.kommo.com`,
    )
    .action(async ({ json, ...body }) => {
      const link = await callBroker<{ url: string; expires_at: string }>('POST', '/connect-links', {
        body,
      })
      if (json) return printJson(link)
      console.log(link.url)
      console.error(`For an administrator of the account. It expires ${timeText(link.expires_at)}.`)
    })
}
