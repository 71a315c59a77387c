import { randomBytes } from 'node:crypto'
import { Secret } from '../vault/secret.ts'

/** 256 bits: beyond guessing, so that a plain keyed hash is enough to store. */
const SECRET_BYTES = 32
const ID_BYTES = 5
/** What secret scanners look for: the product, the key's public id, the secret. */
const PATTERN = /^amo_broker_([0-9a-f]{10})_[\w-]{43}$/

export interface ClientKey {
  /** Public: names the key in lists, logs and audit. */
  id: string
  /** Shown once, to whoever ordered it. */
  key: Secret
}

export function mintKey(): ClientKey {
  const id = randomBytes(ID_BYTES).toString('hex')
  const secret = randomBytes(SECRET_BYTES).toString('base64url')
  return { id, key: new Secret(`amo_broker_${id}_${secret}`) }
}

/** The public id in a presented key; undefined: this is no key of a client. */
export function keyIdOf(presented: string): string | undefined {
  return PATTERN.exec(presented)?.[1]
}
