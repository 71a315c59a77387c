import { LRUCache } from 'lru-cache'
import { keyText } from '../accounts/account-key.ts'
import { BrokerError } from '../errors.ts'
import type { HeldToken } from './held-token.ts'

/** A sibling that reports more often than this does not use what it is given. */
const MAX_REPORTS = 6
const WINDOW_MS = 60_000
const MAX_ACCOUNTS = 10_000

/** Every report asks the provider, whose requests a second are few: so they are counted, account by account. */
export class ReportLimit {
  readonly #reports = new LRUCache<string, { count: number }>({ max: MAX_ACCOUNTS, ttl: WINDOW_MS })

  /** Throws `too_many_reports`. */
  count(held: HeldToken): void {
    const key = `${keyText(held)}/${held.generation}`
    const reports = this.#reports.get(key) ?? { count: 0 }
    if (reports.count === 0) this.#reports.set(key, reports)
    reports.count += 1
    if (reports.count <= MAX_REPORTS) return
    const leftMs = this.#reports.getRemainingTTL(key)
    throw new BrokerError('too_many_reports', 'The provider accepts the token that is reported.', {
      retryAfterSeconds: Math.ceil(leftMs / 1000),
    })
  }
}
