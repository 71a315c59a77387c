import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { type AccountKey, keyText } from '../accounts/account-key.ts'

/** A replica that died holds the others up for no longer than this. */
const LOCK_TTL_MS = 6_000
const RENEW_MS = 2_000

const RELEASE = `if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0`
const RENEW = `if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0`

/** `held`: another replica has it. `unavailable`: Redis gave no answer; the claim alone decides then. */
export type LockResult =
  | { state: 'taken'; lock: AsyncDisposable }
  | { state: 'held' | 'unavailable' }

/**
 * The lock in front of the claim. It saves the replicas work and carries no safety: the claim does. Checked by owner,
 * renewed while held; each call's time is capped by the connection, and none is ever sent twice.
 */
export class RefreshLock {
  readonly #redis: Redis | null
  readonly #prefix: string
  readonly #log: Logger

  /** Deployments may share a Redis: each has its own locks. */
  constructor(redis: Redis | null, deploymentId: string, log: Logger) {
    this.#redis = redis
    this.#prefix = `amo:${deploymentId}:refresh:`
    this.#log = log
  }

  async tryTake(key: AccountKey): Promise<LockResult> {
    const redis = this.#redis
    if (redis === null) return { state: 'unavailable' }
    const name = this.#prefix + keyText(key)
    const owner = randomUUID()
    try {
      const answer = await redis.set(name, owner, 'PX', LOCK_TTL_MS, 'NX')
      return answer === 'OK'
        ? { state: 'taken', lock: hold(redis, name, owner) }
        : { state: 'held' }
    } catch (error) {
      this.#log.debug({ err: error }, 'refresh lock not available')
      return { state: 'unavailable' }
    }
  }
}

function hold(redis: Redis, name: string, owner: string): AsyncDisposable {
  const renew = () => redis.eval(RENEW, 1, name, owner, LOCK_TTL_MS).catch(() => {})
  const timer = setInterval(renew, RENEW_MS).unref()
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      // Not released: it runs out by itself.
      await redis.eval(RELEASE, 1, name, owner).catch(() => {})
    },
  }
}
