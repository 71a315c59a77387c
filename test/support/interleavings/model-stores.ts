import type { Redis } from 'ioredis'
import { RedisCopies } from '../../../src/journal/redis-copies.ts'
import {
  nameText,
  parseResponseName,
  type ResponseName,
} from '../../../src/journal/response-name.ts'
import { Spool } from '../../../src/journal/spool.ts'
import { type AccountKey, keyText } from '../../../src/lib/account-key.ts'
import type { Actor, Ending, Move } from './actor.ts'

/** A disk that survives the actors that write to it, unless the schedule removes it. */
export class ModelDisk extends Spool {
  readonly #actor: Actor
  readonly #files: Map<string, string>
  readonly #isFlushed = new Set<string>()

  constructor(folder: string, actor: Actor, files: Map<string, string>) {
    super(folder)
    this.#actor = actor
    this.#files = files
  }

  /** A flush may take its time, or fail. */
  override flushed(name: string): Promise<boolean> {
    if (!this.#files.has(name) || this.#isFlushed.has(name)) return Promise.resolve(true)
    return this.#actor.stand<boolean>('disk flush', ({ resolve }) => [
      {
        name: 'done',
        weight: 10,
        make: () => {
          this.#isFlushed.add(name)
          resolve(true)
        },
      },
      { name: 'failed', weight: 1, fault: 'disk', make: () => resolve(false) },
    ])
  }

  override append(name: string, sealed: string): void {
    this.#files.set(name, sealed)
  }

  override async read(name: string): Promise<string | undefined> {
    return this.#files.get(name)
  }

  override async remove(name: string): Promise<void> {
    this.#files.delete(name)
  }

  override names(): string[] {
    return [...this.#files.keys()]
  }
}

/**
 * The content of Redis: the responses by account and name, and the names that are not known to be
 * committed.
 */
export interface RedisData {
  answers: Map<string, Map<string, string>>
  open: Set<string>
}

/** Redis as one actor sees it: each write and each read may be late or fail. */
export class ModelRedis extends RedisCopies {
  readonly #actor: Actor
  readonly #data: RedisData

  constructor(redis: Redis, actor: Actor, data: RedisData) {
    super(redis, 'model')
    this.#actor = actor
    this.#data = data
  }

  override get isReady(): boolean {
    return true
  }

  override append(name: ResponseName, sealed: string): Promise<void> {
    return this.#reach('copy', () => {
      const { answers, open } = this.#data
      const own = answers.get(keyText(name)) ?? new Map<string, string>()
      answers.set(keyText(name), own.set(nameText(name), sealed))
      open.add(nameText(name))
    })
  }

  override findAll(key: AccountKey): Promise<[ResponseName, string][]> {
    return this.#reach('look', () =>
      [...(this.#data.answers.get(keyText(key)) ?? [])].flatMap(([text, sealed]) => {
        const name = parseResponseName(text)
        return name === undefined ? [] : [[name, sealed] as [ResponseName, string]]
      }),
    )
  }

  override findOpen(): Promise<ResponseName[]> {
    return this.#reach('look for open ones', () =>
      [...this.#data.open].map(parseResponseName).filter((name) => name !== undefined),
    )
  }

  override async markSettled(name: ResponseName): Promise<void> {
    this.#data.open.delete(nameText(name))
  }

  override async remove(name: ResponseName): Promise<void> {
    this.#data.answers.get(keyText(name))?.delete(nameText(name))
  }

  #reach<T>(what: string, work: () => T): Promise<T> {
    const movesOf = ({ resolve, reject }: Ending<T>): Move[] => [
      { name: 'done', weight: 10, make: () => resolve(work()) },
      {
        name: 'no answer',
        weight: 2,
        fault: 'redis',
        make: () => reject(new Error('Redis does not answer')),
      },
    ]
    return this.#actor.stand(`Redis ${what}`, movesOf)
  }
}
