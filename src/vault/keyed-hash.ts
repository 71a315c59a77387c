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
  | 'console-session'

/**
 * Computes keyed hashes. The keys are derived from the deployment's root secret, which no key
 * rotation changes, so that fingerprints stay the same.
 */
export class KeyedHash {
  readonly #rootSecret: () => Secret
  readonly #purpose: HashPurpose
  #derived: Buffer | undefined

  /**
   * `rootSecret` is called at the first use, because the database that stores it may not answer
   * yet. Hashes for one `purpose` are unrelated to those for another.
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

  /** Returns the hash of a value, as base64url. */
  of(value: Secret | string): string {
    const text = typeof value === 'string' ? value : value.reveal()
    return createHmac('sha256', this.#key).update(text).digest('base64url')
  }

  /** Whether a value has this hash. Compares in constant time. */
  matches(value: string, hash: string): boolean {
    return equalInConstantTime(this.of(value), hash)
  }
}

/** Compares two strings in a time that depends on neither. */
export function equalInConstantTime(left: string, right: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(left), digest(right))
}
