import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import { keyText } from '../accounts/account-key.ts'
import { type Caller, requireOperator } from '../clients/caller.ts'
import type { Database } from '../db/database.ts'
import type { Heartbeat } from '../db/heartbeat.ts'
import { BrokerError } from '../errors.ts'
import type { Integrations } from '../integrations/service.ts'
import type { ConnectLinks } from '../onboarding/links.ts'
import { probeAccessToken, type TokenVerdict } from '../provider/probe.ts'
import { announceRotation, markAccessTokenDead } from '../refresh/early-rotation.ts'
import type { RefreshEnd, Refresher } from '../refresh/refresh.ts'
import { within } from '../within.ts'
import { answerOf, TokenAnswer, type Warning, warningFor } from './answer.ts'
import type { TokenCache } from './cache.ts'
import type { HeldToken } from './held-token.ts'
import { isUnavailable, type TokenLookup } from './lookup.ts'
import { noToken } from './no-token.ts'
import type { ReadMarks } from './read-marks.ts'
import { ReportLimit } from './report-limit.ts'

/** Who waits for one account's refresh at a time; whoever comes then is told at once what there is. */
const MAX_WAITERS = 2_000

export interface TokenRequest {
  name: string
  integration: string | undefined
  /** How long the token must live at least; more than a refresh can promise is not waited for. */
  minTtlSeconds?: number
}

export interface TokensDependencies {
  database: Database
  heartbeat: Heartbeat
  integrations: Integrations
  refresher: Refresher
  cache: TokenCache
  lookup: TokenLookup
  links: ConnectLinks
  marks: ReadMarks
  readWaitMs: number
  heartbeatMs: number
  log: Logger
}

/** Hands out tokens that are valid now. */
export class Tokens {
  readonly #with: TokensDependencies
  readonly #reports = new ReportLimit()
  /** How many wait, by account. */
  readonly #waiting = new Map<string, number>()
  readonly #probes = new Map<string, Promise<TokenVerdict>>()

  constructor(dependencies: TokensDependencies) {
    this.#with = dependencies
  }

  /**
   * The token that is valid now, where it is in memory with an answer made of it: no promise, and nothing to wait for.
   * Undefined says nothing: `read` decides.
   */
  readAtOnce(
    caller: Caller,
    { name, integration, minTtlSeconds = 0 }: TokenRequest,
  ): TokenAnswer | undefined {
    const { lookup, heartbeat } = this.#with
    const held = lookup.inMemory(caller, name, integration)
    if (held?.answer === undefined || held.answer.isStale || !held.isMarked) return undefined
    const nowMs = heartbeat.nowMs()
    if (nowMs >= held.useUntilMs) return undefined
    if (held.expiresAtMs - nowMs < minTtlSeconds * 1000) return undefined
    return held.answer.at(nowMs)
  }

  /**
   * The token that is valid now. Before the end of its promise it comes from memory; afterwards the read joins the refresh
   * for READ_WAIT_MS, and then gets the old token while it lives.
   * Throws what `TokenLookup.byName` throws, and the 409 and 503 of the contract.
   */
  async read(caller: Caller, request: TokenRequest): Promise<TokenAnswer> {
    const { held, isStale } = await this.#with.lookup.byName(
      caller,
      request.name,
      request.integration,
    )
    await this.#refuseUnlessHandedOut(held)
    this.#with.marks.mark(held)
    if (isStale) return this.#handOutStale(held)
    const nowMs = this.#with.heartbeat.nowMs()
    if (nowMs < held.useUntilMs && !held.isDead) return this.#handOut(held, request)
    return this.#isRefreshedNow(held, nowMs)
      ? this.#join(held, request, this.#with.readWaitMs)
      : this.#handOutOld(held, request, held.paused || held.shadow ? 'not_sendable' : undefined)
  }

  /**
   * "This one got me a 401." A newer one exists: that. Else the provider is asked: alive, the same again; dead, it is
   * rotated at once, whoever asks.
   * Throws what `read` throws, and `too_many_reports`.
   */
  async report(caller: Caller, request: TokenRequest, generation: number): Promise<TokenAnswer> {
    const held = await this.#freshByName(caller, request)
    const isKnown = generation < held.generation || held.isDead
    if (isKnown) return this.read(caller, request)
    if (generation > held.generation) return this.#recover(caller, request, held, generation)
    const { verdict } = await this.#probe(held)
    if (verdict === 'unclear') {
      const detail = 'The provider could not be asked whether the token lives.'
      throw new BrokerError('provider_unavailable', detail, { retryAfterSeconds: 5 })
    }
    if (verdict === 'dead') {
      await markAccessTokenDead(this.#with.database.db, held, held.generation)
      this.#with.cache.onChange(held, held.generation)
    }
    return this.read(caller, request)
  }

  /** Asks once for all who report the same token meanwhile; only that counts as a report. */
  #probe(held: HeldToken): Promise<TokenVerdict> {
    const key = `${keyText(held)}/${held.generation}`
    let probe = this.#probes.get(key)
    if (probe === undefined) {
      this.#reports.count(held)
      const client = this.#with.integrations.get(held.integration)
      const host = held.apiDomain ?? held.domain ?? ''
      probe = probeAccessToken(client, host, held.accessToken())
      this.#probes.set(key, probe)
      const end = () => this.#probes.delete(key)
      probe.then(end, end)
      this.#with.log.warn(nameOf(held), 'access token reported')
    }
    return probe
  }

  /** Rotates before the promised time: announced, and sent one heartbeat later. For operators. */
  async force(caller: Caller, request: TokenRequest): Promise<TokenAnswer> {
    requireOperator(caller, 'force a refresh')
    const { heartbeatMs, readWaitMs, database, cache, log } = this.#with
    const held = await this.#freshByName(caller, request)
    await announceRotation(database.db, held, held.generation, heartbeatMs)
    cache.onChange(held, held.generation)
    log.info({ ...nameOf(held), by: caller.name }, 'refresh forced')
    await delay(heartbeatMs)
    return this.#join(held, request, heartbeatMs + readWaitMs)
  }

  async #freshByName(caller: Caller, request: TokenRequest): Promise<HeldToken> {
    const { lookup } = this.#with
    const found = await lookup.byName(caller, request.name, request.integration)
    const held = await lookup.fresh(found.held)
    if (held === undefined) {
      throw new BrokerError('account_not_found', `No account is known as "${request.name}".`)
    }
    await this.#refuseUnlessHandedOut(held)
    return held
  }

  async #join(held: HeldToken, request: TokenRequest, waitMs: number): Promise<TokenAnswer> {
    const { refresher, lookup, heartbeat } = this.#with
    const account = keyText(held)
    const waiting = this.#waiting.get(account) ?? 0
    if (waiting >= MAX_WAITERS) return this.#handOutOld(held, request, 'under_way')
    this.#waiting.set(account, waiting + 1)
    try {
      const flight = refresher.refresh(held, held.generation, 'waiting')
      const end = await within(flight, waitMs, 'under_way' as const)
      const now = await lookup.fresh(held)
      if (now === undefined) throw new BrokerError('account_not_found', 'The account was removed.')
      await this.#refuseUnlessHandedOut(now)
      const isGood = !now.isDead && heartbeat.nowMs() < now.useUntilMs
      return isGood ? this.#handOut(now, request) : this.#handOutOld(now, request, end)
    } catch (error) {
      if (!isUnavailable(error)) throw error
      return this.#handOutStale(held)
    } finally {
      const others = (this.#waiting.get(account) ?? 1) - 1
      if (others > 0) this.#waiting.set(account, others)
      else this.#waiting.delete(account)
    }
  }

  /** Within its promise. */
  async #handOut(held: HeldToken, request: TokenRequest): Promise<TokenAnswer> {
    const restMs = held.expiresAtMs - this.#with.heartbeat.nowMs()
    const isShort = restMs < (request.minTtlSeconds ?? 0) * 1000
    if (held.status === 'reauth_required') return this.#render(held, 'reauth_required')
    return this.#render(held, isShort ? 'min_ttl_capped' : undefined)
  }

  /**
   * Past its promise, while it lives: used at once and not kept. Not where it is too short for who asks; but no token can
   * be longer than its guaranteed rest when its promise ends, so asking for more than that refuses nothing.
   */
  async #handOutOld(
    held: HeldToken,
    { minTtlSeconds = 0 }: TokenRequest,
    end?: RefreshEnd | 'under_way',
  ): Promise<TokenAnswer> {
    const nowMs = this.#with.heartbeat.nowMs()
    const expiresAtMs = held.expiresAtMs
    const isGrantable = minTtlSeconds * 1000 <= expiresAtMs - held.useUntilMs
    const neededMs = isGrantable ? minTtlSeconds * 1000 : 0
    if (held.isDead || expiresAtMs - nowMs <= neededMs) {
      throw noToken(held, this.#with.integrations.find(held.integration), end, nowMs)
    }
    return this.#render(held, warningFor(held, this.#isBehindBreaker(held)))
  }

  /** Otherwise there is nothing to wait for, and no need to ask: after a failure nobody tries before the planned time. */
  #isRefreshedNow(held: HeldToken, nowMs: number): boolean {
    const isHeldBack = held.failedAttempts > 0 && nowMs < (held.nextAttemptAtMs ?? 0)
    return !held.paused && !held.shadow && !isHeldBack && !this.#isBehindBreaker(held)
  }

  #isBehindBreaker({ integration }: HeldToken): boolean {
    return (this.#with.integrations.find(integration)?.breakers ?? []).length > 0
  }

  async #handOutStale(held: HeldToken): Promise<TokenAnswer> {
    const isOver = held.expiresAtMs <= this.#with.heartbeat.nowMs()
    if (held.isDead || isOver) {
      throw new BrokerError('storage_unavailable', 'PostgreSQL does not answer.', {
        retryAfterSeconds: 1,
      })
    }
    return this.#render(held, undefined, true)
  }

  async #render(held: HeldToken, warning?: Warning, isStale = false): Promise<TokenAnswer> {
    const { integrations, heartbeat } = this.#with
    const integration =
      integrations.find(held.integration) ?? (await integrations.load(held.integration))
    const nowMs = heartbeat.nowMs()
    return warning === undefined
      ? answerOf(held, integration, { nowMs, isStale })
      : new TokenAnswer(held, integration, { nowMs, isStale, warning })
  }

  /** Throws the 409 that says why this account's token is handed to nobody. */
  async #refuseUnlessHandedOut(held: HeldToken): Promise<void> {
    if (held.status === 'pending') {
      throw new BrokerError('pending', 'The account is not approved yet.')
    }
    if (held.status === 'disconnected') {
      throw new BrokerError('disconnected', 'The account was disconnected from the integration.')
    }
    const isDead = held.isDead || held.expiresAtMs <= this.#with.heartbeat.nowMs()
    if (!isDead || (held.status === 'active' && held.kind === 'oauth')) return
    const connect_url = await this.#with.links.reconnectUrl(held, held.generation)
    const last_error = held.lastErrorCode ?? 'token_expired'
    throw new BrokerError(
      'reauth_required',
      'The provider no longer accepts the broker’s tokens.',
      {
        members: { connect_url, last_error },
      },
    )
  }

  /**
   * A caller has a token that PostgreSQL does not know: a failover forgot a commit. What was kept of it is committed;
   * without that, the account is never refreshed on, for its stored token is spent.
   */
  async #recover(
    caller: Caller,
    request: TokenRequest,
    held: HeldToken,
    reported: number,
  ): Promise<TokenAnswer> {
    this.#reports.count(held)
    this.#with.log.fatal(
      { ...nameOf(held), reported },
      'reported generation is newer than the stored one',
    )
    if (await this.#with.refresher.recover(held)) {
      this.#with.cache.onChange(held, reported)
      return this.read(caller, request)
    }
    throw new BrokerError(
      'storage_unavailable',
      `Generation ${reported} is newer than the stored one: the database lost a commit, or the number is wrong.`,
      { retryAfterSeconds: 10 },
    )
  }
}

function nameOf({ integration, accountId, generation }: HeldToken) {
  return { integration, account: accountId, generation }
}
