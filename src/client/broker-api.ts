import { sleep } from './deadline.ts'
import { AmoTokenError, errorFromProblem, isTransient, noAnswer } from './error.ts'
import { readToken, type TimedToken } from './token.ts'

/**
 * Longer than the broker lets a reader wait (READ_WAIT_MS), so that only a silent one is cut off.
 */
const ATTEMPT_LIMIT_MS = 5_000
/** Wait before the second attempt if the broker names none. */
const DEFAULT_WAIT_MS = 100
/** Random addition to each wait, so that callers do not come back all at once. */
const JITTER_MS = 200

export type KeySource = string | (() => string | Promise<string>)

export interface BrokerCall {
  method: 'GET' | 'POST'
  /** Path with query, relative to the broker's URL. */
  path: string
  body?: string
}

export interface CallLimits {
  endMs: number
  signal: AbortSignal
  attempts: number
}

/** Calls the broker: with the client key, two attempts, and the waits that the broker asks for. */
export class BrokerApi {
  readonly url: string
  readonly #keySource: KeySource
  readonly #fetch: typeof fetch
  #key: Promise<string> | undefined

  constructor(url: string, keySource: KeySource, fetcher: typeof fetch) {
    this.url = url.replace(/\/+$/, '')
    this.#keySource = keySource
    this.#fetch = fetcher
  }

  /** Returns the client key. A key function is called once, and again after a 401. */
  key(): Promise<string> {
    this.#key ??= (async () =>
      typeof this.#keySource === 'function' ? await this.#keySource() : this.#keySource)()
    const key = this.#key
    key.catch(() => this.#forgetKey(key))
    return key
  }

  /**
   * Asks the broker for a token. A transient failure is followed by another attempt, after
   * `Retry-After`, if one fits in before `endMs`.
   *
   * @throws AmoTokenError, or the reason of `signal`
   */
  async call(call: BrokerCall, { endMs, signal, attempts }: CallLimits): Promise<TimedToken> {
    let isKeyFresh = typeof this.#keySource === 'string'
    for (let attempt = 1; ; attempt += 1) {
      const key = this.key()
      try {
        return await this.#attempt(call, await key, endMs, signal)
      } catch (error) {
        if (error instanceof AmoTokenError && error.status === 401 && !isKeyFresh) {
          isKeyFresh = true
          this.#forgetKey(key)
          continue
        }
        if (!isTransient(error) || attempt >= attempts) throw error
        const waitMs = (error.retryAfterMs ?? DEFAULT_WAIT_MS) + Math.random() * JITTER_MS
        if (performance.now() + waitMs >= endMs) throw error
        await sleep(waitMs, signal)
      }
    }
  }

  async #attempt(
    { method, path, body }: BrokerCall,
    key: string,
    endMs: number,
    signal: AbortSignal,
  ): Promise<TimedToken> {
    const startedMs = performance.now()
    const limit = AbortSignal.timeout(
      Math.max(0, Math.min(ATTEMPT_LIMIT_MS, Math.ceil(endMs - startedMs))),
    )
    try {
      const response = await this.#fetch(this.url + path, {
        method,
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: body ?? null,
        redirect: 'error',
        signal: AbortSignal.any([signal, limit]),
      })
      const text = await response.text()
      if (response.status === 200) return readToken(text, startedMs)
      throw errorFromProblem(response.status, text, response.headers)
    } catch (error) {
      if (error instanceof AmoTokenError) throw error
      signal.throwIfAborted()
      throw noAnswer(limit.aborted ? 'timeout' : 'broker_unreachable', error)
    }
  }

  #forgetKey(key: Promise<string>): void {
    if (this.#key === key) this.#key = undefined
  }
}
