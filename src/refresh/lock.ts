import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { RedisClient } from '../db/redis.ts'
import { type AccountKey, keyText } from '../lib/account-key.ts'
import type { Clock } from '../lib/clock.ts'

/** A replica that died delays the others for at most this long. */
const LOCK_TTL_MS = 6_000
const RENEW_MS = 2_000

const RELEASE = `if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0`
const RENEW = `if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0`

/**
 * `locked`: another replica has the lock. `unavailable`: RedisClient did not answer, so only the
 * claim decides.
 */
type LockResult = { state: 'taken'; lock: AsyncDisposable } | { state: 'locked' | 'unavailable' }

/**
 * The Redis lock in front of the claim. It saves the replicas work and adds nothing to safety: the
 * claim does that. It is checked by owner, and renewed until it is disposed of. The connection
 * limits the time of each call and repeats none.
 */
export class RefreshLock {
  readonly #redis: RedisClient | null
  readonly #prefix: string
  readonly #clock: Clock
  readonly #log: Logger

  /** Deployments may share a Redis, so each has its own locks. */
  constructor(redis: RedisClient | null, deploymentId: string, clock: Clock, log: Logger) {
    this.#redis = redis
    this.#prefix = `amo:${deploymentId}:refresh:`
    this.#clock = clock
    this.#log = log
  }

  async tryTake(key: AccountKey): Promise<LockResult> {
    const redis = this.#redis
    if (redis === null) return { state: 'unavailable' }
    const name = this.#prefix + keyText(key)
    const owner = randomUUID()
    try {
      const reply = await redis.set(name, owner, 'PX', LOCK_TTL_MS, 'NX')
      if (reply !== 'OK') return { state: 'locked' }
      return { state: 'taken', lock: this.#keepLocked(redis, name, owner) }
    } catch (error) {
      this.#log.debug({ err: error }, 'refresh lock not available')
      return { state: 'unavailable' }
    }
  }

  #keepLocked(redis: RedisClient, name: string, owner: string): AsyncDisposable {
    const renew = () => redis.eval(RENEW, 1, name, owner, LOCK_TTL_MS).catch(() => {})
    const stop = this.#clock.every(RENEW_MS, renew)
    return {
      async [Symbol.asyncDispose]() {
        stop()
        // If the release fails, the lock expires by itself.
        await redis.eval(RELEASE, 1, name, owner).catch(() => {})
      },
    }
  }
}
