import { tokenAt } from '../accounts/sealed-tokens.ts'
import type { AccountStatus } from '../db/tables.ts'
import { useUntilMs } from '../refresh/plan.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { Secret } from '../vault/secret.ts'
import type { TokenAnswer } from './answer.ts'
import type { TokenRow } from './store.ts'

/** An account's row as it is held in memory. Ten thousand are: what no answer needs is left out. */
export class HeldToken {
  readonly integration: string
  readonly accountId: number
  readonly domain: string | null
  readonly apiDomain: string | null
  readonly kind: 'oauth' | 'long_lived'
  readonly status: AccountStatus
  readonly generation: number
  /** Milliseconds since 1970, as the other two. */
  readonly expiresAtMs: number
  readonly nextAttemptAtMs: number | null
  /** Until when it may be kept by whoever gets it. */
  readonly useUntilMs: number
  readonly failedAttempts: number
  readonly paused: boolean
  readonly shadow: boolean
  /** Whether the provider refused the access token before its time. */
  readonly isDead: boolean
  readonly lastErrorCode: string | null
  /** `performance.now()` before the row was asked for. */
  readonly askedAtMs: number
  /** Whether the schedule knows that this account is read. */
  isMarked = false
  /** What is sent of it as long as it is held. */
  answer: TokenAnswer | undefined = undefined
  readonly #keyRing: KeyRing
  /** Sealed until somebody asks for it. */
  #token: string | Secret

  constructor(row: TokenRow, keyRing: KeyRing, askedAtMs: number) {
    this.integration = row.integration
    this.accountId = row.accountId
    this.domain = row.domain
    this.apiDomain = row.apiDomain
    this.kind = row.kind
    this.status = row.status
    this.generation = row.generation
    this.expiresAtMs = row.expiresAt.getTime()
    this.nextAttemptAtMs = row.nextAttemptAt?.getTime() ?? null
    this.useUntilMs = row.shadow ? 0 : useUntilMs(row)
    this.failedAttempts = row.failedAttempts
    this.paused = row.paused
    this.shadow = row.shadow
    this.isDead = row.accessDeadAt !== null
    this.lastErrorCode = row.lastErrorCode
    this.askedAtMs = askedAtMs
    this.#keyRing = keyRing
    this.#token = row.accessToken
  }

  /** Opens it at the first call. Throws `KeyMissing`, `SealBroken`. */
  accessToken(): Secret {
    if (typeof this.#token === 'string') {
      this.#token = this.#keyRing.open(this.#token, tokenAt(this, 'accessToken'))
    }
    return this.#token
  }
}
