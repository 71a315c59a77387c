import type { Heartbeat } from '../db/heartbeat.ts'
import { keyText } from '../lib/account-key.ts'
import { BrokerError } from '../lib/errors.ts'
import { withTimeout } from '../lib/with-timeout.ts'
import type { Refresher } from '../refresh/refresh.ts'
import type { CachedToken } from './cached-token.ts'
import type { TokenDecision, TokenRequest } from './decision.ts'
import type { HandOut } from './hand-out.ts'
import { isUnavailable, QUERY_LIMIT_MS, type TokenLookup } from './lookup.ts'
import { queryLimitMs } from './request-deadline.ts'

/**
 * At most this many reads wait for the refresh of one account. Further reads get the present token
 * at once.
 */
const MAX_WAITERS = 2_000

interface JoinDependencies {
  refresher: Refresher
  lookup: TokenLookup
  handOut: HandOut
  heartbeat: Heartbeat
}

/** Lets reads wait for the refresh of their account. */
export class JoinedRefreshes {
  readonly #with: JoinDependencies
  /** Number of reads that wait, by account. */
  readonly #waiting = new Map<string, number>()

  constructor(dependencies: JoinDependencies) {
    this.#with = dependencies
  }

  /**
   * Starts or joins the refresh, waits at most `waitMs`, then decides on the row as it is in
   * PostgreSQL.
   */
  async join(token: CachedToken, request: TokenRequest, waitMs: number): Promise<TokenDecision> {
    const account = keyText(token)
    const waiting = this.#waiting.get(account) ?? 0
    if (waiting >= MAX_WAITERS) return this.#with.handOut.pastPromise(token, request, 'under_way')
    this.#waiting.set(account, waiting + 1)
    try {
      return await this.#await(token, request, waitMs)
    } catch (error) {
      if (!isUnavailable(error)) throw error
      return this.#with.handOut.withoutWrites(token, error)
    } finally {
      const others = (this.#waiting.get(account) ?? 1) - 1
      if (others > 0) this.#waiting.set(account, others)
      else this.#waiting.delete(account)
    }
  }

  async #await(token: CachedToken, request: TokenRequest, waitMs: number): Promise<TokenDecision> {
    const { refresher, lookup, handOut, heartbeat } = this.#with
    const flight = refresher.refresh(token, token.generation, 'waiting')
    const end = await withTimeout(flight, waitMs, 'under_way' as const)
    const fresh = await lookup.fresh(token, queryLimitMs(request, QUERY_LIMIT_MS))
    if (fresh === undefined) throw new BrokerError('account_not_found', 'The account was removed.')
    await handOut.requireUsable(fresh)
    const isWithinPromise = !fresh.isDead && heartbeat.nowMs() < fresh.useUntilMs
    return isWithinPromise
      ? handOut.withinPromise(fresh, request)
      : handOut.pastPromise(fresh, request, end)
  }
}
