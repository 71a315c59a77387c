import { hash } from 'node:crypto'
import type { Logger } from 'pino'
import { SealedSpool, type SpoolFormat } from '../journal/sealed-spool.ts'
import type { Spool } from '../journal/spool.ts'
import { BrokerError } from '../lib/errors.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { CallbackQuery } from './validate-callback.ts'

const PREFIX = 'callback~'
/** A code lives for 20 minutes. More callbacks than these cannot be worked off in that time. */
const MAX_CALLBACKS = 500

/** A call of the provider's server, as it arrived. */
export interface SpooledCallback {
  path: string
  query: CallbackQuery
  atMs: number
}

const FORMAT: SpoolFormat<SpooledCallback> = {
  prefix: PREFIX,
  encode: (callback) => JSON.stringify(callback),
  decode: (_name, text) => JSON.parse(text),
}

/**
 * Calls that the provider does not repeat, on this process's disk while PostgreSQL does not take
 * them.
 */
export class CallbackSpool {
  readonly #spool: SealedSpool<SpooledCallback>
  readonly #log: Logger

  constructor(spool: Spool, keyRing: KeyRing, log: Logger) {
    this.#spool = new SealedSpool(spool, keyRing, FORMAT)
    this.#log = log
  }

  /**
   * Returns once the callback is flushed to disk. The same code always becomes the same file.
   * Throws `storage_unavailable` when the spool is full or the disk fails.
   */
  append(callback: SpooledCallback): string {
    const name = PREFIX + hash('sha256', callback.query.code ?? '', 'hex')
    if (this.#spool.has(name)) return name
    if (this.#spool.size >= MAX_CALLBACKS) throw notStored()
    try {
      this.#spool.appendFlushed(name, callback)
    } catch (err) {
      this.#log.error({ err }, 'callback not written to disk')
      throw notStored()
    }
    return name
  }

  /**
   * Reads the callbacks of this process and of those before it. Throws the error of the disk, and
   * `KeyMissing`.
   */
  async *entries(): AsyncGenerator<[name: string, callback: SpooledCallback]> {
    for (const name of this.#spool.names()) {
      const { state, value } = await this.#spool.read(name)
      if (state === 'broken') this.#log.error({ callback: name }, 'spooled callback is broken')
      if (value !== undefined) yield [name, value]
      else await this.forget(name)
    }
  }

  async forget(name: string): Promise<void> {
    await this.#spool.remove(name)
  }
}

function notStored(): BrokerError {
  const detail = 'Neither PostgreSQL nor the disk takes the callback.'
  return new BrokerError('storage_unavailable', detail, { retryAfterSeconds: 5 })
}
