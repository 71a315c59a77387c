import { randomBytes } from 'node:crypto'
import type { Command } from '@commander-js/extra-typings'
import { JSON_FLAG } from '../common/options.ts'
import { printJson } from '../common/output.ts'

const KEY_BYTES = 32
const OPERATOR_KEY_BYTES = 24
/** Makes key ids of one day distinct: two keys of the same id would refuse to start together. */
const ID_SUFFIX_BYTES = 2

/** Defines `keygen`. */
export function defineKeygen(command: Command): void {
  command
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
Prints the settings that have no default. The key id contains the date.

Example:
  $ amo-broker keygen >> .env`,
    )
    .action(({ json }) => {
      const settings = generateSettings(new Date())
      if (json) return printJson(settings)
      for (const [name, value] of Object.entries(settings)) console.log(`${name}=${value}`)
    })
}

function generateSettings(now: Date): Record<string, string> {
  const date = now.toISOString().slice(0, 10).replaceAll('-', '')
  const id = `k${date}-${randomBytes(ID_SUFFIX_BYTES).toString('hex')}`
  return {
    ENCRYPTION_KEYS: `${id}:${randomBytes(KEY_BYTES).toString('base64')}`,
    OPERATOR_KEY: `amo_op_${randomBytes(OPERATOR_KEY_BYTES).toString('base64url')}`,
    DEPLOYMENT_ID: `amo-${randomBytes(4).toString('hex')}`,
  }
}
