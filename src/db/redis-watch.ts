import type { Logger } from 'pino'
import { FailureChange } from '../lib/failure-change.ts'
import { commandReasonOf, type RedisClient } from './redis.ts'
import { shareTimeline } from './shared-timeline.ts'
import type { Storage } from './storage-state.ts'

const INTERVAL_MS = 1_000
const LIFE_MS = 10_000

/**
 * Writes a key every second, because a connection can be up while every command fails: a sentinel,
 * a read-only replica, a node of a cluster. Logs when that begins and when it ends. Shares the
 * timeline of PostgreSQL with the other replicas.
 */
export class RedisWatch {
  readonly #redis: RedisClient
  readonly #deploymentId: string
  readonly #storage: Storage
  readonly #log: Logger
  #timer: NodeJS.Timeout | undefined
  #reason: string | undefined
  readonly #failure = new FailureChange()

  constructor(redis: RedisClient, deploymentId: string, storage: Storage, log: Logger) {
    this.#redis = redis
    this.#deploymentId = deploymentId
    this.#storage = storage
    this.#log = log
  }

  /** Why commands fail; undefined: they work. */
  get reason(): string | undefined {
    return this.#reason
  }

  /** Starts the writes and resolves after the first one. */
  async start(): Promise<void> {
    this.#timer = setInterval(() => void this.#write(), INTERVAL_MS).unref()
    // The other replicas must know before this one claims anything on the new primary.
    this.#storage.onFailover(() => void this.#write())
    await this.#write()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  async #write(): Promise<void> {
    try {
      await this.#redis.set(`amo:${this.#deploymentId}:watch`, '1', 'PX', LIFE_MS)
      await shareTimeline(this.#redis, this.#deploymentId, this.#storage)
      this.#set(undefined)
    } catch (error) {
      this.#set(commandReasonOf(error, this.#redis))
    }
  }

  #set(reason: string | undefined): void {
    this.#reason = reason
    if (reason === undefined) {
      if (this.#failure.hasEnded()) this.#log.info('Redis works again')
    } else if (this.#failure.isNew({ code: reason })) {
      this.#log.warn({ reason }, 'Redis does not work')
    }
  }
}
