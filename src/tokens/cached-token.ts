import { keyText } from '../lib/account-key.ts'
import { MIN_REST_SHARE, useUntilMs } from '../pairs/plan.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { tokenAt } from '../vault/sealed-places.ts'
import type { Secret } from '../vault/secret.ts'
import type { TokenRow } from './store.ts'

/**
 * An account's row in memory. It never changes: a new state of the row is a new `CachedToken`.
 * Columns that no decision needs are left out, because ten thousand of these are cached.
 */
export class CachedToken {
  readonly integration: string
  readonly accountId: number
  /** `keyText` of the account. */
  readonly text: string
  readonly domain: string | null
  readonly apiDomain: string | null
  readonly kind: TokenRow['kind']
  readonly status: TokenRow['status']
  readonly generation: number
  /** PostgreSQL's time in milliseconds since 1970, like the next two. */
  readonly expiresAtMs: number
  readonly nextAttemptAtMs: number | null
  /** From then on the token is not handed out any more: too little of its life is left. */
  readonly restsAtMs: number
  /** Until when a caller may use the token without asking again; 0 for a shadow. */
  readonly useUntilMs: number
  readonly failedAttempts: number
  readonly paused: boolean
  readonly shadow: boolean
  /** The provider refused the access token before it expired. */
  readonly isDead: boolean
  readonly lastErrorCode: string | null
  /** `performance.now()` before the row was queried. */
  readonly askedAtMs: number
  /** The schedule knows that this account is read (`ReadMarks`). */
  isMarked = false
  /** Hits may hand this token out (see the invariant in `hit.ts`). */
  isCleared = false
  /**
   * Kept for the renderer as long as the token is cached. Only the renderer knows what it is. With
   * a `WeakMap` instead, finding and rendering a hit took twice as long at 10,000 accounts.
   */
  prepared: object | undefined = undefined
  readonly #keyRing: KeyRing
  /** Sealed until the first caller needs it. */
  #token: string | Secret

  constructor(row: TokenRow, keyRing: KeyRing, askedAtMs: number, minRestMs = 0) {
    this.integration = shared(row.integration)
    this.accountId = row.accountId
    this.text = keyText(row)
    this.domain = row.domain
    this.apiDomain = row.apiDomain === null ? null : shared(row.apiDomain)
    this.kind = shared(row.kind)
    this.status = shared(row.status)
    this.generation = row.generation
    this.expiresAtMs = row.expiresAt.getTime()
    this.nextAttemptAtMs = row.nextAttemptAt?.getTime() ?? null
    this.restsAtMs = this.expiresAtMs - restMs(row, minRestMs)
    this.useUntilMs = row.shadow ? 0 : Math.min(useUntilMs(row), this.restsAtMs)
    this.failedAttempts = row.failedAttempts
    this.paused = row.paused
    this.shadow = row.shadow
    this.isDead = row.accessDeadAt !== null
    this.lastErrorCode = row.lastErrorCode
    this.askedAtMs = askedAtMs
    this.#keyRing = keyRing
    this.#token = row.accessToken
  }

  /** Opens the sealed token at the first call. Throws `KeyMissing`, `SealBroken`. */
  accessToken(): Secret {
    if (typeof this.#token === 'string') {
      this.#token = this.#keyRing.open(this.#token, tokenAt(this, 'accessToken'))
    }
    return this.#token
  }
}

/** The few values that most rows have in common. */
const values = new Map<string, string>()

/** Returns the same string for equal values: the driver makes a new one for every row. */
function shared<T extends string>(value: T): T {
  const known = values.get(value)
  if (known !== undefined) return known as T
  values.set(value, value)
  return value
}

/** Returns how much of a token's life is never handed out. An unknown life has no such rest. */
function restMs({ issuedAt, expiresAt }: TokenRow, minRestMs: number): number {
  const lifeMs = expiresAt.getTime() - issuedAt.getTime()
  return lifeMs > 0 ? Math.min(minRestMs, lifeMs * MIN_REST_SHARE) : 0
}
