import { type Caller, mayRead } from '../clients/caller.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import type { TokenCache } from './cache.ts'
import type { CachedToken } from './cached-token.ts'
import type { TokenRequest } from './decision.ts'

/**
 * The fast path of a read: hands out a token from memory without a query, a promise or an
 * allocation.
 *
 * Invariant: for a token that is handed out here, `TokenReader.read` would decide the same, without
 * a warning.
 *
 * - Only `HandOut.withinPromise` sets `isCleared`, after it handed out this very token: within its
 *   promise, not stale, without a warning, and with the read marked for the schedule. Every check
 *   of the account's row has passed then.
 * - A `CachedToken` never changes. Every change of its row removes it from the cache, and the cache
 *   returns it only while the heartbeat proves that no change was missed.
 * - What depends on the caller or on the time is checked here for each read: grant, integration,
 *   `use_until`, `min_ttl` and, because `min_ttl` is at least 0, the expiry.
 *
 * A new reason to refuse a token or to add a warning must fit one of these three lines.
 */
export class Hits {
  readonly #cache: TokenCache
  readonly #heartbeat: Heartbeat

  constructor(cache: TokenCache, heartbeat: Heartbeat) {
    this.#cache = cache
    this.#heartbeat = heartbeat
  }

  /**
   * Passes the token and PostgreSQL's time to `render` and returns its result.
   *
   * @returns undefined when only `TokenReader.read` can decide, or `render` has nothing prepared
   */
  find<T>(
    caller: Caller,
    { name, integration, minTtlSeconds = 0 }: TokenRequest,
    render: (token: CachedToken, nowMs: number) => T | undefined,
  ): T | undefined {
    const keys = this.#cache.fits(name)
    const key = keys?.length === 1 ? keys[0] : undefined
    if (key === undefined || !mayRead(caller, key)) return undefined
    if (integration !== undefined && key.integration !== integration) return undefined
    const token = this.#cache.get(key)
    if (token === undefined || !token.isCleared) return undefined
    const nowMs = this.#heartbeat.nowMs()
    if (nowMs >= token.useUntilMs) return undefined
    if (token.expiresAtMs - nowMs < minTtlSeconds * 1000) return undefined
    return render(token, nowMs)
  }
}
