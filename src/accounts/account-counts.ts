import { sql } from 'kysely'
import type { Database } from '../db/database.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'

/** Between two runs, the view sums up what has changed. */
const FOLD_MS = 10_000
/** Reads all accounts, and corrects only what no trigger saw. */
const RECOUNT_MS = 24 * 3600 * 1000
/** After a recount that failed, for example because it took too long. */
const RETRY_MS = 3600 * 1000

/**
 * Keeps the number of accounts by integration and status (`amo_account_counts`) small to read, and
 * correct after changes that no trigger saw.
 */
export class AccountCounts implements PeriodicWork {
  readonly name = 'account counts'
  readonly intervalMs = FOLD_MS
  readonly #database: Database
  readonly #now: () => number
  #recountAtMs = Number.NEGATIVE_INFINITY

  /** `now` returns milliseconds that never go back. */
  constructor(database: Database, now = () => performance.now()) {
    this.#database = database
    this.#now = now
  }

  async run(): Promise<void> {
    const { db } = this.#database
    if (this.#now() >= this.#recountAtMs) {
      this.#recountAtMs = this.#now() + RETRY_MS
      await sql`select amo_recount_accounts()`.execute(db)
      this.#recountAtMs = this.#now() + RECOUNT_MS
    }
    await sql`select amo_fold_account_changes()`.execute(db)
  }
}
