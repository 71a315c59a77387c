import type { Redis } from 'ioredis'
import { type AccountKey, keyText } from '../../../src/accounts/account-key.ts'
import { Spool } from '../../../src/db/spool.ts'
import { type KeptName, nameOfKept, parseKeptName } from '../../../src/refresh/kept-name.ts'
import { RedisCopies } from '../../../src/refresh/redis-copies.ts'
import type { Actor, Ending, Move } from './actor.ts'

/** A disk that outlives the actors that write to it, unless the schedule takes it away. */
export class ModelDisk extends Spool {
  readonly #files: Map<string, string>

  constructor(folder: string, files: Map<string, string>) {
    super(folder)
    this.#files = files
  }

  override keep(name: string, sealed: string): void {
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

/** What Redis holds: the answers by account and name, and the names that are not known to be committed. */
export interface RedisData {
  answers: Map<string, Map<string, string>>
  open: Set<string>
}

/** Redis as one actor sees it: each copy and each look may be late, or fail. */
export class ModelRedis extends RedisCopies {
  readonly #actor: Actor
  readonly #data: RedisData

  constructor(redis: Redis, actor: Actor, data: RedisData) {
    super(redis, 'model')
    this.#actor = actor
    this.#data = data
  }

  override keep(name: KeptName, sealed: string): Promise<void> {
    return this.#reach('copy', () => {
      const { answers, open } = this.#data
      const own = answers.get(keyText(name)) ?? new Map<string, string>()
      answers.set(keyText(name), own.set(nameOfKept(name), sealed))
      open.add(nameOfKept(name))
    })
  }

  override findAll(key: AccountKey): Promise<[KeptName, string][]> {
    return this.#reach('look', () =>
      [...(this.#data.answers.get(keyText(key)) ?? [])].flatMap(([text, sealed]) => {
        const name = parseKeptName(text)
        return name === undefined ? [] : [[name, sealed] as [KeptName, string]]
      }),
    )
  }

  override findOpen(): Promise<KeptName[]> {
    return this.#reach('look for open ones', () =>
      [...this.#data.open].map(parseKeptName).filter((name) => name !== undefined),
    )
  }

  override async markSettled(name: KeptName): Promise<void> {
    this.#data.open.delete(nameOfKept(name))
  }

  override async remove(name: KeptName): Promise<void> {
    this.#data.answers.get(keyText(name))?.delete(nameOfKept(name))
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
