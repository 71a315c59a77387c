import { type Caller, mayRead } from '../clients/caller.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import { BrokerError } from '../lib/errors.ts'
import type { CachedToken } from './cached-token.ts'
import type { TokenDecision, TokenRequest } from './decision.ts'
import type { HandOut } from './hand-out.ts'
import type { JoinedRefreshes } from './join-refresh.ts'
import { QUERY_LIMIT_MS, type TokenLookup } from './lookup.ts'
import type { ReadMarks } from './read-marks.ts'
import { deadlineOf, queryLimitMs, restOfWaitMs, withinDeadline } from './request-deadline.ts'

interface ReaderDependencies {
  lookup: TokenLookup
  handOut: HandOut
  refreshes: JoinedRefreshes
  marks: ReadMarks
  heartbeat: Heartbeat
  readWaitMs: number
}

/** Hands out the token that is valid now. Most reads are hits and do not get here (`hit.ts`). */
export class TokenReader {
  readonly #with: ReaderDependencies

  constructor(dependencies: ReaderDependencies) {
    this.#with = dependencies
  }

  /** READ_WAIT_MS, from the arrival of the request. */
  get waitMs(): number {
    return this.#with.readWaitMs
  }

  /**
   * Returns the token that is valid now. Within its promise the token comes from memory. Afterwards
   * the read joins the refresh for at most READ_WAIT_MS, and then gets the old token while it
   * lives. Everything that it waits for ends by the deadline of the request plus 200 ms.
   * Throws what `TokenLookup.byName` throws, and the 409 and 503 of the contract.
   */
  async read(caller: Caller, request: TokenRequest): Promise<TokenDecision> {
    const inTime = { ...request, deadlineMs: deadlineOf(request, this.#with.readWaitMs) }
    return withinDeadline(inTime, this.#read(caller, inTime))
  }

  async #read(caller: Caller, request: TokenRequest): Promise<TokenDecision> {
    const { lookup, handOut, refreshes, marks, heartbeat, readWaitMs } = this.#with
    const { name, integration } = request
    const limitMs = queryLimitMs(request, QUERY_LIMIT_MS)
    const { token, isStale } = await lookup.byName(caller, name, integration, mayRead, limitMs)
    await handOut.requireUsable(token)
    marks.mark(token)
    const { storage } = heartbeat
    if (isStale || storage.isBehind) return handOut.withoutWrites(token)
    const nowMs = heartbeat.nowMs()
    if (nowMs < token.useUntilMs && !token.isDead) return handOut.withinPromise(token, request)
    if (this.#isRefreshable(token, nowMs)) {
      if (!storage.canWrite()) return handOut.withoutWrites(token)
      return refreshes.join(token, request, restOfWaitMs(request, readWaitMs))
    }
    const end = token.paused || token.shadow ? 'not_sendable' : undefined
    return handOut.pastPromise(token, request, end)
  }

  /**
   * Returns the token as it is in PostgreSQL, whatever the cache has.
   * Throws what `TokenLookup.byName` throws, and the 409 of the contract.
   */
  async fresh(caller: Caller, request: TokenRequest): Promise<CachedToken> {
    const { lookup, handOut } = this.#with
    const { name, integration } = request
    const limitMs = queryLimitMs(request, QUERY_LIMIT_MS)
    const found = await lookup.byName(caller, name, integration, mayRead, limitMs)
    const token = await lookup.fresh(found.token, queryLimitMs(request, QUERY_LIMIT_MS))
    if (token === undefined) {
      throw new BrokerError('account_not_found', `No account is known as "${name}".`)
    }
    await handOut.requireUsable(token)
    return token
  }

  /**
   * Returns whether a refresh may start now. After a failure none starts before the planned time.
   */
  #isRefreshable(token: CachedToken, nowMs: number): boolean {
    const isBackingOff = token.failedAttempts > 0 && nowMs < (token.nextAttemptAtMs ?? 0)
    if (token.paused || token.shadow || isBackingOff) return false
    return !this.#with.handOut.isBehindBreaker(token)
  }
}
