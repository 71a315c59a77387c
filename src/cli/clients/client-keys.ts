import type { Command } from '@commander-js/extra-typings'
import { InvalidArgumentError } from '@commander-js/extra-typings'
import { callBroker } from '../common/broker-api.ts'
import { JSON_FLAG, wholeNumber } from '../common/options.ts'
import { printJson } from '../common/output.ts'
import { CLIENT_NAME, clientPath, type MintedKey, showKey } from './client-view.ts'

const HOUR_SECONDS = 3_600
const OVERLAP_HOURS = 24

/** Defines `clients add-key`. */
export function defineAddKey(command: Command): void {
  command
    .argument(...CLIENT_NAME)
    .option('--expires-in-days <days>', 'when the new key expires (default: never)', wholeNumber)
    .option(
      '--overlap-hours <hours>',
      'how long the present key stays valid; 0 ends it now',
      overlap,
      OVERLAP_HOURS,
    )
    .option(...JSON_FLAG)
    .addHelpText(
      'after',
      `
To change a key without downtime: add a key, give it to the service, and let the
old one end. A client has at most two valid keys.

Example:
  $ amo-broker clients add-key shop --overlap-hours 48 > shop.key`,
    )
    .action(async (name, { expiresInDays: expires_in_days, overlapHours, json }) => {
      const body = { expires_in_days, overlap_seconds: Math.round(overlapHours * HOUR_SECONDS) }
      showKey(await callBroker<MintedKey>('POST', clientPath(name, '/keys'), { body }), json)
    })
}

/** Defines `clients end-key`. */
export function defineEndKey(command: Command): void {
  command
    .argument(...CLIENT_NAME)
    .argument('<key-id>', 'as clients list shows it: the 10 characters after amo_broker_')
    .option(...JSON_FLAG)
    .addHelpText('after', '\nExample:\n  $ amo-broker clients end-key shop 0a1b2c3d4e')
    .action(async (name, keyId, { json }) => {
      await callBroker('DELETE', clientPath(name, `/keys/${encodeURIComponent(keyId)}`))
      if (json) printJson({ name, key_id: keyId, ended: true })
      else console.log(`Key ${keyId} of ${name} has ended.`)
    })
}

function overlap(text: string): number {
  const hours = Number(text)
  if (text.trim() === '' || !(hours >= 0)) {
    throw new InvalidArgumentError('It must be a number of hours.')
  }
  return hours
}
