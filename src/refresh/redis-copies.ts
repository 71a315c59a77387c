import type { Redis } from 'ioredis'
import { type AccountKey, keyText } from '../accounts/account-key.ts'
import { type KeptName, nameOfKept, parseKeptName } from './kept-name.ts'

/** Answers of one look; the next sweep takes the rest. */
const LOOK = 100

/**
 * Second copies of kept answers, for whoever takes over from a process that died with its disk: a hash an account, by
 * the answer's name, and the set of the names that are not known to be committed. Sealed before they come here.
 * Every call throws when Redis does not answer: that is not an absent answer.
 */
export class RedisCopies {
  readonly #redis: Redis
  readonly #prefix: string

  constructor(redis: Redis, deploymentId: string) {
    this.#redis = redis
    this.#prefix = `amo:${deploymentId}:kept`
  }

  async keep(name: KeptName, sealed: string): Promise<void> {
    const text = nameOfKept(name)
    const write = this.#redis.multi().hset(this.#hash(name), text, sealed).sadd(this.#open, text)
    for (const [error] of (await write.exec()) ?? []) if (error !== null) throw error
  }

  /** All of an account, sealed. */
  async findAll(key: AccountKey): Promise<[KeptName, string][]> {
    const all = Object.entries(await this.#redis.hgetall(this.#hash(key)))
    return all.flatMap(([text, sealed]) => {
      const name = parseKeptName(text)
      return name === undefined ? [] : [[name, sealed]]
    })
  }

  /** Some of those that are not known to be committed. */
  async findOpen(): Promise<KeptName[]> {
    const texts = await this.#redis.srandmember(this.#open, LOOK)
    return texts.map(parseKeptName).filter((name) => name !== undefined)
  }

  async markSettled(name: KeptName): Promise<void> {
    await this.#redis.srem(this.#open, nameOfKept(name))
  }

  async remove(name: KeptName): Promise<void> {
    await this.#redis.hdel(this.#hash(name), nameOfKept(name))
  }

  get #open(): string {
    return `${this.#prefix}-open`
  }

  #hash(key: AccountKey): string {
    return `${this.#prefix}:${keyText(key)}`
  }
}
