import type { Logger } from 'pino'
import { SealedSpool, type SpoolFormat } from '../journal/sealed-spool.ts'
import type { Spool } from '../journal/spool.ts'
import { type RawBody, rawBodyFromJson, rawBodyToJson } from '../provider/raw-body.ts'
import type { KeyRing } from '../vault/key-ring.ts'

const PREFIX = 'code~'

/** The provider's response to a code, as it arrived. */
export interface CodeResponse {
  inboxId: string
  body: RawBody
  /** PostgreSQL's time when the code was sent, milliseconds since 1970. */
  sentAtMs: number
}

const FORMAT: SpoolFormat<CodeResponse> = {
  prefix: PREFIX,
  encode: ({ body, sentAtMs }) => JSON.stringify({ body: rawBodyToJson(body), sentAtMs }),
  decode(name, text) {
    const { body, sentAtMs } = JSON.parse(text)
    return { inboxId: name.slice(PREFIX.length), body: rawBodyFromJson(body), sentAtMs }
  },
}

/**
 * Responses to codes, on this process's disk from the tick that read them until the inbox has the
 * pair.
 */
export class CodeResponses {
  readonly #spool: SealedSpool<CodeResponse>
  readonly #log: Logger
  /** Broken files. They stay for a person to look at, and are reported once. */
  readonly #broken = new Set<string>()

  constructor(spool: Spool, keyRing: KeyRing, log: Logger) {
    this.#spool = new SealedSpool(spool, keyRing, FORMAT)
    this.#log = log
  }

  /**
   * Returns once it is written; it is flushed meanwhile. Never throws: the pair is still in memory,
   * and its storing is repeated.
   */
  append(response: CodeResponse): void {
    try {
      this.#spool.append(PREFIX + response.inboxId, response)
    } catch (err) {
      this.#log.error({ err, inbox: response.inboxId }, 'response to a code not written to disk')
    }
  }

  /** Reads the responses that no inbox has yet. Throws the error of the disk, and `KeyMissing`. */
  async *entries(): AsyncGenerator<CodeResponse> {
    for (const name of this.#spool.names()) {
      const { state, value } = await this.#spool.read(name)
      if (value !== undefined) yield value
      if (state !== 'broken' || this.#broken.has(name)) continue
      this.#broken.add(name)
      this.#log.error({ response: name }, 'journaled response is broken')
    }
  }

  async forget(inboxId: string): Promise<void> {
    await this.#spool.remove(PREFIX + inboxId)
  }
}
