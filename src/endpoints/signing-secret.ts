import { randomBytes } from 'node:crypto'
import { Secret } from '../vault/secret.ts'

/** Between the 24 and 64 bytes of the Standard Webhooks specification. */
const BYTES = 32

/** Makes the secret of a webhook. */
export function makeSigningSecret(): Secret {
  return new Secret(`whsec_${randomBytes(BYTES).toString('base64')}`)
}
