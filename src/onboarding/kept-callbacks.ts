import { hash } from 'node:crypto'
import type { Logger } from 'pino'
import type { Spool } from '../db/spool.ts'
import { BrokerError, SealBroken } from '../errors.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { CallbackQuery } from './judge.ts'

const PREFIX = 'callback~'
/** Each lives 20 minutes; more than these cannot be worked off by then. */
const MAX_KEPT = 500

/** A call of the provider's server, as it came. */
export interface KeptCallback {
  path: string
  query: CallbackQuery
  atMs: number
}

/** Calls that the provider does not make again, on this process's disk while PostgreSQL does not take them. */
export class KeptCallbacks {
  readonly #spool: Spool
  readonly #keyRing: KeyRing
  readonly #log: Logger
  readonly #names: Set<string>

  constructor(spool: Spool, keyRing: KeyRing, log: Logger) {
    this.#spool = spool
    this.#keyRing = keyRing
    this.#log = log
    this.#names = new Set(spool.names().filter((name) => name.startsWith(PREFIX)))
  }

  get count(): number {
    return this.#names.size
  }

  /** On disk when it returns; the same code again is the same file. Throws `storage_unavailable` when it is full, or fails. */
  keep(callback: KeptCallback): string {
    const name = PREFIX + hash('sha256', callback.query.code ?? '', 'hex')
    if (this.#names.has(name)) return name
    if (this.#names.size >= MAX_KEPT) throw full()
    try {
      this.#spool.keep(name, this.#keyRing.seal(JSON.stringify(callback), placeOf(name)))
    } catch (err) {
      this.#log.error({ err }, 'callback could not be kept on disk')
      throw full()
    }
    this.#names.add(name)
    return name
  }

  /** What was kept here, by this process or one before it. Throws what the disk says, and `KeyMissing`. */
  async *entries(): AsyncGenerator<[name: string, callback: KeptCallback]> {
    for (const name of [...this.#names]) {
      const sealed = await this.#spool.read(name)
      const callback = sealed === undefined ? undefined : this.#open(name, sealed)
      if (callback !== undefined) yield [name, callback]
      else await this.forget(name)
    }
  }

  async forget(name: string): Promise<void> {
    await this.#spool.remove(name)
    this.#names.delete(name)
  }

  #open(name: string, sealed: string): KeptCallback | undefined {
    try {
      return JSON.parse(this.#keyRing.open(sealed, placeOf(name)).reveal())
    } catch (error) {
      if (!(error instanceof SealBroken)) throw error
      this.#log.error({ callback: name }, 'kept callback is broken')
      return undefined
    }
  }
}

function full(): BrokerError {
  const detail = 'Neither PostgreSQL nor the disk takes the callback.'
  return new BrokerError('storage_unavailable', detail, { retryAfterSeconds: 5 })
}

function placeOf(row: string) {
  return { table: 'spool', row, column: 'answer', generation: 0 }
}
