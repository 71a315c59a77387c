import type { Logger } from 'pino'
import type { Database } from '../db/database.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'
import type { AuditEntry, CountedEntry } from './entry.ts'
import { type ReadCount, ReadTotals } from './read-totals.ts'
import { appendEntries } from './store.ts'

/** Counts are written once in this time. */
const WINDOW_MS = 10_000
/** Different entries in one window. Beyond that, acts are counted without their account. */
const MAX_COUNTED = 10_000
const BATCH = 500
/** HTTP status of a request that could not be served in time. */
const UNAVAILABLE = 503

/** Remembers the counters of one caller of `countAgain`, such as a cached token. */
export class Tally {
  window: unknown
  /** One for each actor. An array, because there are few actors and many tallies. */
  entries: CountedEntry[] = []
}

/**
 * Records who did what. An act is stored before its response is sent. Frequent acts such as reads
 * are counted in memory and written every ten seconds, so that a read never waits; a kill loses the
 * counts of one window.
 */
export class AuditLog implements PeriodicWork {
  readonly name = 'audit'
  readonly intervalMs = WINDOW_MS
  readonly #database: Database
  readonly #log: Logger
  #counted = new Map<string, CountedEntry>()
  /** Acts that the database has not taken yet. */
  #waiting: CountedEntry[] = []
  readonly #reads = new ReadTotals()

  constructor(database: Database, log: Logger) {
    this.#database = database
    this.#log = log
  }

  /** Writes what is left, at the end of the process. Logs a failure. */
  async close(): Promise<void> {
    await this.run().catch((err) => this.#log.error({ err }, 'audit counts lost'))
  }

  /**
   * Resolves when the act is stored, or is queued to be tried again. A request that was answered
   * 503 is queued at once: its deadline is over, and the storage may be the cause.
   */
  async act(entry: AuditEntry): Promise<void> {
    if (entry.errorStatus === UNAVAILABLE && this.#waiting.length < MAX_COUNTED) {
      this.#waiting.push({ ...entry, times: 1 })
      return
    }
    try {
      await appendEntries(this.#database.db, [{ ...entry, times: 1 }])
    } catch (err) {
      this.#log.error({ err, action: entry.action, by: entry.actor }, 'act not audited yet')
      if (this.#waiting.length < MAX_COUNTED) this.#waiting.push({ ...entry, times: 1 })
    }
  }

  /**
   * Counts an entry that repeats with only its actor changing. It is looked up once in each window.
   */
  countAgain(tally: Tally, entry: AuditEntry): void {
    if (tally.window !== this.#counted) {
      tally.window = this.#counted
      tally.entries = []
    }
    const known = tally.entries.find(({ actor }) => actor === entry.actor)
    if (known !== undefined) known.times += 1
    else tally.entries = [...tally.entries, this.count(entry)]
  }

  /** Counts an entry and returns its counter. */
  count(entry: AuditEntry, times = 1): CountedEntry {
    const { actor, action, outcome, errorStatus, account, generation } = entry
    const error = errorStatus === undefined ? [] : [errorStatus]
    const where = account === undefined ? [] : [account.integration, account.accountId, generation]
    // Joined into one flat string, because many are kept.
    const key = [actor, action, outcome, ...error, ...where].join(' ')
    const known = this.#counted.get(key)
    if (known !== undefined) {
      known.times += times
      return known
    }
    if (account !== undefined && this.#counted.size >= MAX_COUNTED) {
      return this.count({ actor, action, outcome, errorStatus }, times)
    }
    const counted = { ...entry, times }
    this.#counted.set(key, counted)
    return counted
  }

  /** Returns how many token reads were counted since the start. */
  reads(): ReadCount[] {
    return this.#reads.sums(this.#counted.values())
  }

  /** Writes what was counted, and the acts that the database did not take. */
  async run(): Promise<void> {
    const acts = this.#waiting
    const counted = [...this.#counted.values()]
    this.#reads.add(counted)
    this.#waiting = []
    this.#counted = new Map()
    for (let batch = acts.splice(0, BATCH); batch.length > 0; batch = acts.splice(0, BATCH)) {
      await this.#append(batch, () => this.#waiting.push(...batch, ...acts, ...counted.splice(0)))
    }
    for (let batch = counted.splice(0, BATCH); batch.length > 0; batch = counted.splice(0, BATCH)) {
      await this.#append(batch, () => {
        for (const entry of [...batch, ...counted]) {
          this.#reads.subtract(entry)
          this.count(entry, entry.times)
        }
      })
    }
  }

  /** Keeps for the next window what the database does not take. */
  async #append(batch: CountedEntry[], keep: () => void): Promise<void> {
    try {
      await appendEntries(this.#database.db, batch)
    } catch (error) {
      keep()
      throw error
    }
  }
}
