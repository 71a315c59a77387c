import type { ConnectLinks } from '../connect-links/links.ts'
import { failureOf } from '../db/failures.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import type { Integrations } from '../integrations/directory.ts'
import { BrokerError } from '../lib/errors.ts'
import type { RefreshEnd } from '../refresh/refresh.ts'
import type { CachedToken } from './cached-token.ts'
import { apiUrlOf, type TokenDecision, type TokenRequest, type Warning } from './decision.ts'
import { storageUnavailable, tokenUnavailable } from './unavailable.ts'

/** How the refresh ended that a read waited for; undefined: it waited for none. */
export type AwaitedEnd = RefreshEnd | 'under_way' | undefined

/** Decides on which terms a token is handed out, or refuses it. */
export class HandOut {
  readonly #heartbeat: Heartbeat
  readonly #integrations: Integrations
  readonly #links: ConnectLinks

  constructor(heartbeat: Heartbeat, integrations: Integrations, links: ConnectLinks) {
    this.#heartbeat = heartbeat
    this.#integrations = integrations
    this.#links = links
  }

  /**
   * Throws the 409 of an account whose token must not be handed out: `pending`, `disconnected`,
   * `reauth_required`.
   */
  async requireUsable(token: CachedToken): Promise<void> {
    if (token.status === 'pending') {
      throw new BrokerError('pending', 'The account is not approved yet.')
    }
    if (token.status === 'disconnected') {
      throw new BrokerError('disconnected', 'The integration was removed from the account.')
    }
    const isDead = token.isDead || token.restsAtMs <= this.#heartbeat.nowMs()
    if (!isDead || (token.status === 'active' && token.kind === 'oauth')) return
    const connect_url = await this.#links.reconnectUrl(token, token.generation)
    const last_error = token.lastErrorCode ?? 'token_expired'
    throw new BrokerError(
      'reauth_required',
      'The provider no longer accepts the tokens of the account.',
      { members: { connect_url, last_error } },
    )
  }

  /** Hands out a token within its promise, and clears it for hits if nothing is wrong with it. */
  async withinPromise(token: CachedToken, request: TokenRequest): Promise<TokenDecision> {
    if (token.status === 'reauth_required') return this.#decide(token, 'reauth_required')
    const restMs = token.expiresAtMs - this.#heartbeat.nowMs()
    if (restMs < (request.minTtlSeconds ?? 0) * 1000) return this.#decide(token, 'min_ttl_capped')
    const decision = await this.#decide(token, undefined)
    token.isCleared = token.isMarked && decision.nowMs < token.useUntilMs
    return decision
  }

  /**
   * Hands out a token past its promise while it lives, for immediate use. Refuses it when `min_ttl`
   * asks for more than the token has left. A `min_ttl` above the rest that is guaranteed at the end
   * of a promise refuses nothing, because no token could satisfy it then. Throws the 503 that says
   * why there is no token.
   */
  async pastPromise(
    token: CachedToken,
    { minTtlSeconds = 0 }: TokenRequest,
    end: AwaitedEnd,
  ): Promise<TokenDecision> {
    const nowMs = this.#heartbeat.nowMs()
    const isGrantable = minTtlSeconds * 1000 <= token.expiresAtMs - token.useUntilMs
    const neededMs = isGrantable ? minTtlSeconds * 1000 : 0
    const isSpent = token.isDead || nowMs >= token.restsAtMs
    if (isSpent || token.expiresAtMs - nowMs <= neededMs) {
      throw tokenUnavailable(token, this.#integrations.find(token.integration), end, nowMs)
    }
    return this.#decide(token, warningFor(token, this.isBehindBreaker(token)))
  }

  /**
   * Hands out a token while it lives although the storage cannot rotate it, or does not answer.
   * Unless this is the present primary, another replica may have rotated it: it is stale then.
   * Throws `storage_unavailable`. `failure` is what the storage failed with.
   */
  async withoutWrites(token: CachedToken, failure?: unknown): Promise<TokenDecision> {
    const nowMs = this.#heartbeat.nowMs()
    if (token.isDead || nowMs >= token.restsAtMs) throw storageUnavailable(failure)
    const { state, isBehind } = this.#heartbeat.storage
    if (isBehind) return forNow(await this.#decide(token, undefined, true))
    // Before the next heartbeat it is not known why a session accepts no writes.
    const isReadOnly = state === 'read_only' || failureOf(failure) === 'read_only'
    if (!isReadOnly) return this.#decide(token, undefined, true)
    return forNow(await this.#decide(token, 'storage_read_only', state !== 'read_only'))
  }

  /** Returns whether a breaker keeps the account's integration from sending. */
  isBehindBreaker({ integration }: CachedToken): boolean {
    return (this.#integrations.find(integration)?.breakers ?? []).length > 0
  }

  async #decide(
    token: CachedToken,
    warning: Warning | undefined,
    isStale = false,
  ): Promise<TokenDecision> {
    const integration =
      this.#integrations.find(token.integration) ??
      (await this.#integrations.load(token.integration))
    const nowMs = this.#heartbeat.nowMs()
    const useUntilMs = Math.max(nowMs, token.useUntilMs)
    return { token, apiUrl: apiUrlOf(integration, token), nowMs, useUntilMs, isStale, warning }
  }
}

/** Takes the promise off a decision: the token is for immediate use. */
function forNow(decision: TokenDecision): TokenDecision {
  return { ...decision, useUntilMs: decision.nowMs }
}

/** Returns why a token is handed out past its promise. */
function warningFor(token: CachedToken, isBehindBreaker: boolean): Warning {
  if (token.status === 'reauth_required') return 'reauth_required'
  if (token.shadow) return 'shadow'
  if (token.paused) return 'paused'
  return token.failedAttempts > 0 || isBehindBreaker ? 'provider_unavailable' : 'refresh_pending'
}
