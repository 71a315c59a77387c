import { type AccountState, AccountStates, type Report } from './account-state.ts'
import { BrokerApi, type BrokerCall, type CallLimits } from './broker-api.ts'
import { waitFor } from './deadline.ts'
import { type AmoTokenError, isTransient } from './error.ts'
import { EventStream } from './event-stream.ts'
import type { AmoTokenEvent } from './events.ts'
import { awaitFlight, startFlight } from './flight.ts'
import { createInterceptor, type Interceptor } from './interceptor.ts'
import type { AmoTokenClientOptions, CallOptions, FetchOptions } from './options.ts'
import { readRequest, resolveUrl } from './request.ts'
import type { AmoToken, TimedToken } from './token.ts'

const DEFAULT_TIMEOUT_MS = 10_000
/** How long a caller waits for the broker while it could use the cached token. */
const WAIT_WITH_SPARE_MS = 2_500
/** The same after the broker has failed a moment ago. */
const WAIT_WHILE_DOWN_MS = 250
/** The result "alive" is valid for this long: further 401s of that generation are not reported. */
const ALIVE_MS = 10_000
const REPORT_AGAIN_MS = 1_000
/** The broker's own limit. */
const MAX_MIN_TTL_SECONDS = 86_400

export { AmoTokenError } from './error.ts'
export type { AmoTokenEvent } from './events.ts'
export type { Dispatch, Interceptor } from './interceptor.ts'
export type { AmoTokenClientOptions, CallOptions, FetchOptions } from './options.ts'
export type { AmoToken } from './token.ts'

/**
 * Gives sibling services the broker's tokens: cached, shared by concurrent callers, reported once
 * after a 401.
 *
 * @example
 * const broker = new AmoTokenClient({ url: 'http://broker:3000', key: process.env.BROKER_KEY })
 * const leads = await broker.fetch('demo', '/api/v4/leads?limit=50')
 */
export class AmoTokenClient {
  readonly #broker: BrokerApi
  readonly #fetch: typeof fetch
  readonly #stream: EventStream | undefined
  readonly #options: AmoTokenClientOptions
  readonly #states = new AccountStates()

  constructor(options: AmoTokenClientOptions) {
    this.#options = options
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init))
    this.#broker = new BrokerApi(options.url, options.key, this.#fetch)
    if (options.followEvents !== false) {
      this.#stream = new EventStream({
        url: this.#broker.url,
        key: () => this.#broker.key(),
        onInvalidated: (accountId, generation) => {
          const isKnown = this.#states.invalidate(accountId, generation)
          if (isKnown) this.#emit({ type: 'invalidated', accountId, generation })
        },
      })
    }
  }

  /**
   * Returns a token that is valid now. It comes from the cache until its `useUntil`; use it at
   * once and do not keep it.
   *
   * @throws AmoTokenError, or the reason of `signal`
   */
  async getToken(account: string | number, options: CallOptions = {}): Promise<AmoToken> {
    const { signal } = options
    signal?.throwIfAborted()
    const minTtlSeconds = Math.min(MAX_MIN_TTL_SECONDS, Math.ceil(options.minTtlSeconds ?? 0))
    const state = this.#stateOf(account, options)
    const endMs = this.#endMs(options)
    this.#stream?.follow()
    for (;;) {
      const startMs = performance.now()
      const current = state.findCurrent(startMs, minTtlSeconds)
      if (current !== undefined) return current
      const refusal = state.findRefusal(startMs)
      if (refusal !== undefined) throw refusal
      const spare = state.findSpare(startMs, minTtlSeconds)
      const { failure } = state
      if (spare !== undefined && failure !== undefined && startMs < failure.untilMs) {
        return this.#useSpare(account, spare, failure.error)
      }
      const patienceMs = failure === undefined ? WAIT_WITH_SPARE_MS : WAIT_WHILE_DOWN_MS
      const waitEndMs = spare === undefined ? endMs : Math.min(endMs, startMs + patienceMs)
      const joined = state.flight
      const start = (signal: AbortSignal) => {
        const path = this.#pathOf(account, '', options, minTtlSeconds)
        const attempts = spare === undefined ? 2 : 1
        return this.#ask(state, { method: 'GET', path }, { endMs, signal, attempts })
      }
      const flight = joined ?? startFlight(state, { minTtlSeconds, endMs }, start)
      try {
        const timed = await awaitFlight(flight, { endMs: waitEndMs, signal }, spare !== undefined)
        const hasTtl = timed.expiresMs - performance.now() >= minTtlSeconds * 1000
        if (hasTtl || flight.minTtlSeconds >= minTtlSeconds) return timed.token
      } catch (error) {
        if (!isTransient(error)) throw error
        state.note(error)
        const stillSpare = state.findSpare(performance.now(), minTtlSeconds)
        if (stillSpare !== undefined) return this.#useSpare(account, stillSpare, error)
        // Another caller's flight ended with that caller's time: there may be more time here.
        if (joined === undefined || joined.endMs >= endMs || performance.now() >= endMs) throw error
      }
    }
  }

  /**
   * Calls the CRM: with the token, at the account's host. After a 401 the token is reported, and
   * the request is repeated once if its body can be sent again.
   *
   * @param input a path, or a URL of the account's own domain
   * @throws AmoTokenError where there is no token; what `fetch` throws
   */
  async fetch(
    account: string | number,
    input: string | URL | Request,
    init?: RequestInit,
    options: FetchOptions = {},
  ): Promise<Response> {
    const request = await readRequest(input, init)
    const signal = request.init.signal ?? undefined
    const send = (token: AmoToken) => {
      const headers = new Headers(request.init.headers)
      headers.set('authorization', `Bearer ${token.accessToken}`)
      const url = this.#resolve(account, request.url, token)
      return this.#fetch(url, { ...request.init, headers })
    }
    const token = await this.getToken(account, { ...options, signal })
    const response = await send(token)
    if (response.status !== 401) return response
    const next = await this.#renew(account, token, { ...options, signal })
    if (next === undefined || !request.isRepeatable) return response
    await response.body?.cancel()
    return send(next)
  }

  /** Returns a `fetch` for SDKs that accept one. */
  fetchFor(account: string | number, options: FetchOptions = {}): typeof fetch {
    return (input, init) => this.fetch(account, input, init, options)
  }

  /** Returns an interceptor for undici: `new Agent().compose(broker.interceptor('demo'))`. */
  interceptor(account: string | number, options: FetchOptions = {}): Interceptor {
    return createInterceptor({
      get: (signal) => this.getToken(account, { ...options, signal }),
      renew: (token, signal) => this.#renew(account, token, { ...options, signal }),
      resolve: (url, token) => this.#resolve(account, url, token),
    })
  }

  /** Ends the event stream. Nothing else has to be closed. */
  close(): void {
    this.#stream?.close()
  }

  /** Calls the broker and records the result. */
  async #ask(state: AccountState, call: BrokerCall, limits: CallLimits): Promise<TimedToken> {
    try {
      return state.store(await this.#broker.call(call, limits))
    } catch (error) {
      state.note(error)
      throw error
    }
  }

  #useSpare(account: string | number, spare: AmoToken, error: AmoTokenError): AmoToken {
    const { generation } = spare
    this.#emit({ type: 'cached_token_used', account, generation, error })
    return spare
  }

  /**
   * Gets another token after a 401. A generation is reported once, however many callers saw it.
   *
   * @returns undefined if the broker could not be asked: the caller gets the 401
   */
  async #renew(
    account: string | number,
    token: AmoToken,
    options: CallOptions,
  ): Promise<AmoToken | undefined> {
    const state = this.#stateOf(account, options)
    const { generation } = token
    if (generation < state.newestGeneration) return this.getToken(account, options)
    const known = state.report
    const isKnown = known?.generation === generation && performance.now() < known.untilMs
    const report = isKnown ? known : this.#report(state, account, generation, options)
    const deadline = { endMs: this.#endMs(options), signal: options.signal }
    try {
      return (await waitFor(report.promise, deadline)).token
    } catch (error) {
      if (!isTransient(error)) throw error
      this.#emit({ type: 'report_failed', account, generation, error })
      return undefined
    }
  }

  #report(
    state: AccountState,
    account: string | number,
    generation: number,
    options: CallOptions,
  ): Report {
    const path = this.#pathOf(account, '/refresh', options)
    const body = JSON.stringify({ generation })
    const limits = { endMs: this.#endMs({}), signal: AbortSignal.any([]), attempts: 2 }
    const promise = this.#ask(state, { method: 'POST', path, body }, limits)
    const report: Report = { generation, untilMs: Number.POSITIVE_INFINITY, promise }
    const rest = (ms: number) => () => {
      report.untilMs = performance.now() + ms
    }
    promise.then(rest(ALIVE_MS), rest(REPORT_AGAIN_MS))
    this.#emit({ type: 'reported', account, generation })
    state.report = report
    return report
  }

  #resolve(account: string | number, url: string, token: AmoToken): URL {
    return resolveUrl(url, token, String(account), this.#options.trustedOrigins ?? [])
  }

  #stateOf(account: string | number, options: CallOptions): AccountState {
    return this.#states.of(account, options.integration ?? this.#options.integration)
  }

  #pathOf(
    account: string | number,
    suffix: string,
    { integration = this.#options.integration }: CallOptions,
    minTtlSeconds = 0,
  ): string {
    const query = new URLSearchParams(integration === undefined ? {} : { integration })
    if (minTtlSeconds > 0) query.set('min_ttl', String(minTtlSeconds))
    return `/tokens/${encodeURIComponent(account)}${suffix}?${query}`
  }

  #endMs({ timeoutMs = this.#options.timeoutMs ?? DEFAULT_TIMEOUT_MS }: CallOptions): number {
    return performance.now() + timeoutMs
  }

  #emit(event: AmoTokenEvent): void {
    try {
      this.#options.onEvent?.(event)
    } catch {
      // A failing listener must not cost its caller the token.
    }
  }
}
