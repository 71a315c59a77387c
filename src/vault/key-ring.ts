import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type KeyObject,
  randomBytes,
} from 'node:crypto'
import { KeyMissing, SealBroken } from '../lib/errors.ts'
import { Secret } from './secret.ts'

const ALGORITHM = 'aes-256-gcm'
const KEY_BYTES = 32
const IV_BYTES = 12
const TAG_BYTES = 16
/**
 * 32 random bytes hold about 30 different ones, and fewer than this never. A key of zeros, of one
 * repeated byte or of a repeated word has few.
 */
const MIN_DIFFERENT_BYTES = 12
const KEY_ID = /^[A-Za-z0-9_-]{1,32}$/

/**
 * Where a sealed value is stored. It opens only there. `generation` is 0 for values without one.
 */
export interface SealedAt {
  table: string
  row: string
  column: string
  generation: number
}

/**
 * Seals under the first key and opens under any: AES-256-GCM with the value's place as additional
 * data.
 */
export class KeyRing {
  /** As key objects: Node takes four times as long with a key of bytes. */
  readonly #keys: ReadonlyMap<string, KeyObject>
  readonly #sealWith: string

  private constructor(keys: ReadonlyMap<string, KeyObject>, sealWith: string) {
    this.#keys = keys
    this.#sealWith = sealWith
  }

  /**
   * Reads `id:base64[,id:base64…]`, each key 32 bytes. Throws an Error whose message says what is
   * wrong and holds no key material.
   */
  static parse(text: string): KeyRing {
    const keys = new Map<string, KeyObject>()
    for (const part of text.split(',')) {
      const [id = '', encoded = ''] = part.trim().split(/:(.*)/s)
      if (!KEY_ID.test(id))
        throw new Error('each key is id:base64, the id of letters, digits, - or _')
      // Node skips invalid base64, and would read a key with a typing error as another key.
      if (!/^[A-Za-z0-9+/]*={0,2}$/.test(encoded)) throw new Error(`key ${id} is not base64`)
      const key = Buffer.from(encoded, 'base64')
      if (key.length !== KEY_BYTES) {
        throw new Error(`key ${id} has ${key.length} bytes, needed are ${KEY_BYTES} in base64`)
      }
      if (new Set(key).size < MIN_DIFFERENT_BYTES) {
        throw new Error(`key ${id} is not random: make one with amo-broker keygen`)
      }
      if (keys.has(id)) {
        throw new Error(
          `key id ${id} appears twice: rename the key that was added last, because values are sealed under the other one`,
        )
      }
      keys.set(id, createSecretKey(key))
    }
    const [first] = keys.keys()
    if (first === undefined) throw new Error('no key given')
    return new KeyRing(keys, first)
  }

  /** The ids of all keys. Values that are sealed under another one cannot be opened. */
  get keyIds(): string[] {
    return [...this.#keys.keys()]
  }

  /** Seals a value. Returns `keyId.base64url(iv, ciphertext, tag)`. */
  seal(value: Secret | string, at: SealedAt): string {
    const iv = randomBytes(IV_BYTES)
    const cipher = createCipheriv(ALGORITHM, this.#key(this.#sealWith), iv).setAAD(
      additionalData(at),
    )
    const text = value instanceof Secret ? value.reveal() : value
    const sealed = [iv, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]
    return `${this.#sealWith}.${Buffer.concat(sealed).toString('base64url')}`
  }

  /**
   * Opens a value. Throws `KeyMissing` when the key is not in the ring, and `SealBroken` when the
   * value was altered or moved.
   */
  open(sealed: string, at: SealedAt): Secret {
    const dot = sealed.indexOf('.')
    // Not a sealed value: no part of it may be shown as a key id.
    if (dot === -1) throw new SealBroken(`${at.table}.${at.column}`)
    const key = this.#key(sealed.slice(0, dot))
    const bytes = Buffer.from(sealed.slice(dot + 1), 'base64url')
    try {
      const decipher = createDecipheriv(ALGORITHM, key, bytes.subarray(0, IV_BYTES), {
        authTagLength: TAG_BYTES,
      })
        .setAAD(additionalData(at))
        .setAuthTag(bytes.subarray(-TAG_BYTES))
      const text = decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES), undefined, 'utf8')
      return new Secret(text + decipher.final('utf8'))
    } catch {
      throw new SealBroken(`${at.table}.${at.column}`)
    }
  }

  /** The id of the first key, which seals everything new. */
  get sealsWith(): string {
    return this.#sealWith
  }

  /**
   * Returns the value sealed under the first key, or undefined when it is already. Throws like
   * `open`.
   */
  reseal(sealed: string, at: SealedAt): string | undefined {
    return keyIdOf(sealed) === this.#sealWith ? undefined : this.seal(this.open(sealed, at), at)
  }

  #key(id: string): KeyObject {
    const key = this.#keys.get(id)
    if (key === undefined) throw new KeyMissing(KEY_ID.test(id) ? id : 'unreadable')
    return key
  }
}

/**
 * Returns the id of the key that a value is sealed under, or `unreadable`. Never returns part of a
 * value that was not sealed.
 */
export function keyIdOf(sealed: string): string {
  const dot = sealed.indexOf('.')
  const id = sealed.slice(0, dot)
  return dot !== -1 && KEY_ID.test(id) ? id : 'unreadable'
}

/** Encodes a place as JSON, so that no two places have the same bytes. */
function additionalData(at: SealedAt): Buffer {
  return Buffer.from(JSON.stringify([at.table, at.row, at.column, at.generation]))
}
