import type { RedisClient } from '../db/redis.ts'
import { type AccountKey, keyText } from '../lib/account-key.ts'
import { nameText, parseResponseName, type ResponseName } from './response-name.ts'

/** Copies per sweep. The next sweep takes the rest. */
const BATCH = 100

/** What a database must not fall behind: 0 where nothing is known. */
export type GreatestNumbers = Pick<ResponseName, 'generation' | 'attemptId'>

/**
 * Second copies of journaled responses, for the replicas that reclaim the attempts of a process
 * that died with its disk. Each account has a hash, by the name of the response; one set has the
 * names that are not known to be committed. Copies are sealed before they come here. Every call
 * throws when Redis does not answer: that is not an absent copy (T3).
 */
export class RedisCopies {
  readonly #redis: RedisClient
  readonly #prefix: string

  constructor(redis: RedisClient, deploymentId: string) {
    this.#redis = redis
    // The braces are a hash tag: keys that one transaction touches lie on one node of a Cluster.
    this.#prefix = `{amo:${deploymentId}:kept}`
  }

  async append(name: ResponseName, sealed: string): Promise<void> {
    const text = nameText(name)
    const write = this.#redis
      .multi()
      .hset(this.#hash(name), text, sealed)
      .sadd(this.#open, text)
      .zadd(this.#top, 'GT', name.generation, 'generation', name.attemptId, 'attempt')
    for (const [error] of (await write.exec()) ?? []) if (error !== null) throw error
  }

  /** Finds all sealed copies of an account. */
  async findAll(key: AccountKey): Promise<[ResponseName, string][]> {
    const all = Object.entries(await this.#redis.hgetall(this.#hash(key)))
    return all.flatMap(([text, sealed]) => {
      const name = parseResponseName(text)
      return name === undefined ? [] : [[name, sealed]]
    })
  }

  /** Finds some of the names that are not known to be committed. */
  async findOpen(): Promise<ResponseName[]> {
    const texts = await this.#redis.srandmember(this.#open, BATCH)
    return texts.map(parseResponseName).filter((name) => name !== undefined)
  }

  async markSettled(name: ResponseName): Promise<void> {
    await this.#redis.srem(this.#open, nameText(name))
  }

  async remove(name: ResponseName): Promise<void> {
    await this.#redis.hdel(this.#hash(name), nameText(name))
  }

  /** Whether a copy can be written now. */
  get isReady(): boolean {
    return this.#redis.status === 'ready'
  }

  /** Finds the greatest numbers that a copy was ever written for. */
  async greatest(): Promise<GreatestNumbers> {
    const [generation, attemptId] = await Promise.all([
      this.#redis.zscore(this.#top, 'generation'),
      this.#redis.zscore(this.#top, 'attempt'),
    ])
    return { generation: Number(generation ?? 0), attemptId: Number(attemptId ?? 0) }
  }

  get #top(): string {
    return `${this.#prefix}-top`
  }

  get #open(): string {
    return `${this.#prefix}-open`
  }

  #hash(key: AccountKey): string {
    return `${this.#prefix}:${keyText(key)}`
  }
}
