import { AmoTokenError, isTransient } from './error.ts'
import type { Flight } from './flight.ts'
import type { AmoToken, TimedToken } from './token.ts'

/** A permanent refusal is repeated to callers for this long without asking again. */
const REFUSAL_MS = 5_000
/** After a failure the broker is not asked for this long while a cached token can be used. */
const FAILURE_MS = 1_000
const MAX_FAILURE_MS = 30_000
/** More accounts than a service uses. Invented names must not fill the memory. */
const MAX_ACCOUNTS = 10_000

/** A report of one generation that got a 401. */
export interface Report {
  generation: number
  promise: Promise<TimedToken>
  /** Until then the generation is not reported again. */
  untilMs: number
}

/** The client's state of one account. */
export class AccountState {
  flight: Flight | undefined
  report: Report | undefined
  /** The greatest generation seen. */
  newestGeneration = 0
  #cached: TimedToken | undefined
  #refusal: { error: AmoTokenError; untilMs: number } | undefined
  #failure: { error: AmoTokenError; untilMs: number } | undefined

  /** Returns the cached token within its promise, or undefined if there is none that long. */
  findCurrent(nowMs: number, minTtlSeconds: number): AmoToken | undefined {
    const cached = this.#cached
    if (cached === undefined || nowMs >= cached.useUntilMs) return undefined
    if (cached.expiresMs - nowMs <= cached.restMs) return undefined
    // The broker has marked a capped token as the longest one available.
    const isCapped = cached.token.warning === 'min_ttl_capped'
    return isCapped || hasTtl(cached, nowMs, minTtlSeconds) ? cached.token : undefined
  }

  /**
   * Returns the cached token until it expires, even past its promise. Used while the broker is
   * down.
   */
  findSpare(nowMs: number, minTtlSeconds: number): AmoToken | undefined {
    const cached = this.#cached
    if (cached === undefined || cached.expiresMs - nowMs <= cached.restMs) return undefined
    return hasTtl(cached, nowMs, minTtlSeconds) ? cached.token : undefined
  }

  /** Returns the permanent error that the broker gave a moment ago, or undefined. */
  findRefusal(nowMs: number): AmoTokenError | undefined {
    return this.#refusal !== undefined && nowMs < this.#refusal.untilMs
      ? this.#refusal.error
      : undefined
  }

  /** Returns the last failure, if there was no success since. */
  get failure(): { error: AmoTokenError; untilMs: number } | undefined {
    return this.#failure
  }

  /**
   * Keeps a token for its promise. One without a promise (`use_for: 0`) is not kept.
   *
   * @returns the newest token known: a slow answer may bring an older one
   */
  store(timed: TimedToken): TimedToken {
    this.#refusal = undefined
    this.#failure = undefined
    const { generation } = timed.token
    if (this.#cached !== undefined && generation < this.#cached.token.generation) {
      return this.#cached
    }
    this.newestGeneration = Math.max(this.newestGeneration, generation)
    if (timed.useUntilMs > timed.startedMs) this.#cached = timed
    else if (generation !== this.#cached?.token.generation) this.#cached = undefined
    return timed
  }

  /** Records why there was no token. */
  note(error: unknown): void {
    if (!(error instanceof AmoTokenError)) return
    const nowMs = performance.now()
    if (isTransient(error)) {
      const waitMs = Math.min(MAX_FAILURE_MS, Math.max(FAILURE_MS, error.retryAfterMs ?? 0))
      this.#failure = { error, untilMs: nowMs + waitMs * (1 + Math.random() / 4) }
    } else {
      this.#refusal = { error, untilMs: nowMs + REFUSAL_MS }
      this.#cached = undefined
    }
  }

  /** Drops the cached token if it is of this account and generation, or older. */
  invalidate(accountId: number, generation: number): boolean {
    const token = this.#cached?.token
    if (token?.accountId !== accountId || token.generation > generation) return false
    this.#cached = undefined
    return true
  }
}

/** The states of all accounts that the client was asked for. */
export class AccountStates {
  readonly #states = new Map<string, AccountState>()

  /** Returns the state of an account, a new one for its first call. */
  of(account: string | number, integration = ''): AccountState {
    const key = `${integration}/${String(account).toLowerCase()}`
    const known = this.#states.get(key)
    if (known !== undefined) return known
    if (this.#states.size >= MAX_ACCOUNTS) this.#states.clear()
    const state = new AccountState()
    this.#states.set(key, state)
    return state
  }

  /** Drops the account's cached tokens up to this generation. Returns true if there was one. */
  invalidate(accountId: number, generation: number): boolean {
    let isKnown = false
    for (const state of this.#states.values()) {
      isKnown = state.invalidate(accountId, generation) || isKnown
    }
    return isKnown
  }
}

function hasTtl({ expiresMs }: TimedToken, nowMs: number, minTtlSeconds: number): boolean {
  return expiresMs - nowMs >= minTtlSeconds * 1000
}
