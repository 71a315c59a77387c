import { LRUCache } from 'lru-cache'
import { type AccountKey, keyText } from '../lib/account-key.ts'
import { BrokerError } from '../lib/errors.ts'

/** A service that reports one account more often ignores the responses. */
const MAX_REPORTS = 6
const WINDOW_MS = 60_000
const MAX_COUNTS = 10_000

/** Limits reports by client and account, so that no client uses up the reports of another one. */
export class ReportLimit {
  readonly #reports = new LRUCache<string, { count: number }>({ max: MAX_COUNTS, ttl: WINDOW_MS })

  /** Counts a report. Throws `too_many_reports`. */
  count(client: string, account: AccountKey): void {
    const key = `${client} ${keyText(account)}`
    const reports = this.#reports.get(key) ?? { count: 0 }
    if (reports.count === 0) this.#reports.set(key, reports)
    reports.count += 1
    if (reports.count <= MAX_REPORTS) return
    const leftMs = this.#reports.getRemainingTTL(key)
    const detail = `More than ${MAX_REPORTS} reports within a minute, and the account did not change.`
    throw new BrokerError('too_many_reports', detail, {
      retryAfterSeconds: Math.max(1, Math.ceil(leftMs / 1000)),
    })
  }

  /** Starts the count again after a report that was right. */
  reset(client: string, account: AccountKey): void {
    this.#reports.delete(`${client} ${keyText(account)}`)
  }
}
