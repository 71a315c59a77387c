import type { Command } from '@commander-js/extra-typings'
import { callBroker } from '../common/broker-api.ts'
import { Failure } from '../common/failure.ts'
import { timeText } from '../common/output.ts'

/** Defines `console`. */
export function defineConsole(command: Command): void {
  command
    .addHelpText(
      'after',
      `
The link signs you in as the holder of the key that this command uses. It works
once, for five minutes. It is printed to a terminal only, so that it gets into
no file and no log.

Example:
  $ amo-broker console`,
    )
    .action(async () => {
      if (!process.stdout.isTTY) {
        const remedy =
          'Run it in a terminal, without a pipe. In a container: docker compose exec broker amo-broker console.'
        throw new Failure('the link is printed to a terminal only', { remedy })
      }
      const link = await callBroker<{ url: string; expires_at: string }>('POST', '/console-links')
      console.log(link.url)
      console.error(`Signs you in once. Expires ${timeText(link.expires_at)}.`)
    })
}
