import type { Command } from '@commander-js/extra-typings'
import { wholeNumber } from './options.ts'

/** Before there is a broker: its keys, its demo, its documents. */
export function projectCommands(program: Command): void {
  program
    .command('keygen')
    .description('fresh ENCRYPTION_KEYS, OPERATOR_KEY and DEPLOYMENT_ID')
    .addHelpText('after', '\nExample:\n  $ amo-broker keygen >> .env')
    .action(async () => (await import('./keygen.ts')).keygen())

  program
    .command('demo')
    .description('a broker and a sandbox that plays amoCRM, with an account that is connected')
    .option('--seconds <seconds>', 'ends by itself (otherwise at Ctrl-C)', wholeNumber)
    .addHelpText(
      'after',
      `
Connects the account "demo" through the real consent flow, with embedded storage, and reads its token once a second while it
is refreshed. Nothing else is needed.

Ports: INTERNAL_PORT (3000), PUBLIC_PORT (3001), SANDBOX_PORT (3002). Files: .demo/ (made anew every time).`,
    )
    .action(async ({ seconds }) => (await import('./demo.ts')).runDemo(seconds))

  program
    .command('openapi')
    .description('writes openapi/*.json, the documents of both listeners')
    .option('--check', 'compares them instead, and fails when they are stale')
    .action(async ({ check }) => (await import('./openapi.ts')).writeDocuments(check === true))
}
