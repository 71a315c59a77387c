import type { Logger } from 'pino'
import type { Spool } from '../db/spool.ts'
import { SealBroken } from '../errors.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { Secret } from '../vault/secret.ts'

const PREFIX = 'code~'

/** The provider's answer to a code, as it came. */
export interface CodeAnswer {
  inboxId: string
  body: Secret
  /** PostgreSQL's time when the code was sent, milliseconds since 1970. */
  sentAtMs: number
}

/** Answers to codes, on this process's disk from the tick that read them until the inbox has the pair. */
export class KeptCodes {
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

  /** Blocks until the disk has it. Never throws: the pair is still in memory, and its storing is tried again and again. */
  keep({ inboxId, body, sentAtMs }: CodeAnswer): void {
    const name = PREFIX + inboxId
    try {
      const text = JSON.stringify({ body: body.reveal(), sentAtMs })
      this.#spool.keep(name, this.#keyRing.seal(text, placeOf(name)))
      this.#names.add(name)
    } catch (err) {
      this.#log.error({ err, inbox: inboxId }, 'answer to a code could not be kept on disk')
    }
  }

  /** What a process left here that died before the inbox had it. Throws what the disk says, and `KeyMissing`. */
  async *entries(): AsyncGenerator<CodeAnswer> {
    for (const name of this.#names) {
      const sealed = await this.#spool.read(name)
      const text = sealed === undefined ? undefined : this.#open(name, sealed)
      if (text === undefined) continue
      const { body, sentAtMs } = JSON.parse(text.reveal())
      yield { inboxId: name.slice(PREFIX.length), body: new Secret(body), sentAtMs }
    }
  }

  async forget(inboxId: string): Promise<void> {
    await this.#spool.remove(PREFIX + inboxId)
    this.#names.delete(PREFIX + inboxId)
  }

  #open(name: string, sealed: string): Secret | undefined {
    try {
      return this.#keyRing.open(sealed, placeOf(name))
    } catch (error) {
      if (!(error instanceof SealBroken)) throw error
      this.#log.error({ answer: name }, 'kept answer is broken')
      this.#names.delete(name)
      return undefined
    }
  }
}

function placeOf(row: string) {
  return { table: 'spool', row, column: 'answer', generation: 0 }
}
