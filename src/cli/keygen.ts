import { randomBytes } from 'node:crypto'

const KEY_BYTES = 32
const OPERATOR_KEY_BYTES = 24

/** Prints fresh values for the settings that have no default. The key's id tells when it was made. */
export function keygen(): void {
  const id = `k${new Date().toISOString().slice(0, 10).replaceAll('-', '')}`
  console.log(`ENCRYPTION_KEYS=${id}:${randomBytes(KEY_BYTES).toString('base64')}`)
  console.log(`OPERATOR_KEY=amo_op_${randomBytes(OPERATOR_KEY_BYTES).toString('base64url')}`)
  console.log(`DEPLOYMENT_ID=amo-${randomBytes(4).toString('hex')}`)
}
