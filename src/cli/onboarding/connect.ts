import { type Command, Option } from '@commander-js/extra-typings'
import { callBroker } from '../common/broker-api.ts'
import { JSON_FLAG } from '../common/options.ts'
import { printJson, timeText } from '../common/output.ts'

interface Link {
  id: string
  url: string
  expires_at: string
}

/** Defines `connect`. */
export function defineConnect(command: Command): void {
  command
    .requiredOption('--integration <name>', 'the integration to install')
    .option('--account <account>', 'the only account it may connect: id, domain or subdomain')
    .addOption(
      new Option('--mode <mode>', 'how the consent page returns')
        .choices(['popup', 'post_message'])
        .default('popup'),
    )
    .option(
      '--opener-origin <origin>',
      'origin of the page that opens the link and gets the result',
    )
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Send the link to an administrator of the account, by mail or chat. It works
once, for seven days, in one browser.

Example:
  $ amo-broker connect --integration kommo --account acme.kommo.com`,
    )
    .action(async ({ json, openerOrigin: opener_origin, ...order }) => {
      const body = { ...order, opener_origin }
      const path = '/connect-links'
      const link = await callBroker<Link>('POST', path, { body })
      if (json) return printJson(link)
      console.log(link.url)
      console.error(`For an administrator of the account. Expires ${timeText(link.expires_at)}.`)
      console.error(`To end it before it is used: amo-broker links withdraw ${link.id}`)
    })
}
