import { createHash, createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'
import type { Secret } from './secret.ts'

const HASH_KEY_BYTES = 32

export type HashPurpose =
  | 'fingerprint'
  | 'connect-state'
  | 'connect-link'
  | 'client-key'
  | 'audit'
  | 'disconnect-hook'
  | 'exchange-user'

/**
 * Keyed hashes under keys derived from the deployment's root secret, which no key rotation changes:
 * a fingerprint stays what it was.
 */
export class KeyedHash {
  readonly #rootSecret: () => Secret
  readonly #purpose: HashPurpose
  #derived: Buffer | undefined

  /**
   * `rootSecret` is asked for at the first use: the database that holds it may not answer yet. `purpose` separates the uses:
   * a hash made for one says nothing for another.
   */
  constructor(rootSecret: () => Secret, purpose: HashPurpose) {
    this.#rootSecret = rootSecret
    this.#purpose = purpose
  }

  get #key(): Buffer {
    if (this.#derived === undefined) {
      const root = Buffer.from(this.#rootSecret().reveal(), 'base64')
      const info = `amo-token-broker ${this.#purpose}`
      this.#derived = Buffer.from(hkdfSync('sha256', root, '', info, HASH_KEY_BYTES))
    }
    return this.#derived
  }

  of(value: Secret | string): string {
    const text = typeof value === 'string' ? value : value.reveal()
    return createHmac('sha256', this.#key).update(text).digest('base64url')
  }

  /** Compares in constant time. */
  matches(value: string, hash: string): boolean {
    return equalInConstantTime(this.of(value), hash)
  }
}

/** Compares two strings in a time that depends on neither: both are hashed first. */
export function equalInConstantTime(left: string, right: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(left), digest(right))
}
