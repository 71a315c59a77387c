import { randomBytes } from 'node:crypto'
import { Secret } from '../vault/secret.ts'

/** 256 bits cannot be guessed, so a plain keyed hash is enough for storage. */
const SECRET_BYTES = 32
const ID_BYTES = 5
/** A shape that secret scanners can find: product, public id, secret. */
const PATTERN = /^amo_broker_([0-9a-f]{10})_[\w-]{43}$/

interface ClientKey {
  /** Public: names the key in lists, logs and the audit. */
  id: string
  /** Shown once, to the operator who created it. */
  key: Secret
}

/** Creates a random key. */
export function mintKey(): ClientKey {
  const id = randomBytes(ID_BYTES).toString('hex')
  const secret = randomBytes(SECRET_BYTES).toString('base64url')
  return { id, key: new Secret(`amo_broker_${id}_${secret}`) }
}

/**
 * Returns the public id of a presented key.
 *
 * @returns undefined when it does not have the shape of a client key
 */
export function keyIdOf(presented: string): string | undefined {
  return PATTERN.exec(presented)?.[1]
}
