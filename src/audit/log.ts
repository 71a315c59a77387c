import type { Logger } from 'pino'
import type { Database } from '../db/database.ts'
import { Repeated } from '../repeated.ts'
import type { AuditEntry, CountedEntry } from './entry.ts'
import { appendEntries } from './store.ts'

/** What is counted is written so often. */
const WINDOW_MS = 10_000
/** Of different things in one window; what comes then is counted without its account. */
const MAX_COUNTED = 10_000
const BATCH = 500

/** Belongs to whoever counts; lives as long as what it counts. */
export class Tally {
  window: unknown
  /** One of each actor. An array: there are few of them, and many who count. */
  entries: CountedEntry[] = []
}

/**
 * Writes down who did what. An act is a row before its answer leaves; what comes in great numbers, as reads do, is counted in
 * memory and written every ten seconds, so that a read waits for nothing: a kill loses the counts of one window.
 */
export class AuditLog {
  readonly #database: Database
  readonly #log: Logger
  readonly #work: Repeated
  #counted = new Map<string, CountedEntry>()
  /** Acts that the database did not take yet. */
  #waiting: CountedEntry[] = []

  constructor(database: Database, log: Logger) {
    this.#database = database
    this.#log = log
    this.#work = new Repeated('audit', WINDOW_MS, () => this.#flush(), log)
  }

  start(): void {
    this.#work.start()
  }

  async stop(): Promise<void> {
    await this.#work.stop()
    await this.#flush().catch((err) => this.#log.error({ err }, 'audit counts lost'))
  }

  /** Resolves when it is written, or is sure to be tried again. */
  async act(entry: AuditEntry): Promise<void> {
    try {
      await appendEntries(this.#database.db, [{ ...entry, times: 1 }])
    } catch (err) {
      this.#log.error({ err, action: entry.action, by: entry.actor }, 'act not audited yet')
      if (this.#waiting.length < MAX_COUNTED) this.#waiting.push({ ...entry, times: 1 })
    }
  }

  /** As `count`, for what is the same again and again but for the actor: it is looked up once a window. */
  countAgain(tally: Tally, entry: AuditEntry): void {
    if (tally.window !== this.#counted) {
      tally.window = this.#counted
      tally.entries = []
    }
    const known = tally.entries.find(({ actor }) => actor === entry.actor)
    if (known !== undefined) known.times += 1
    else tally.entries = [...tally.entries, this.count(entry)]
  }

  /** Returns what it was counted in. */
  count(entry: AuditEntry, times = 1): CountedEntry {
    const { actor, action, outcome, account, generation } = entry
    const where = account === undefined ? [] : [account.integration, account.accountId, generation]
    // Joined: one string and not a chain of them, for many are kept.
    const key = [actor, action, outcome, ...where].join(' ')
    const known = this.#counted.get(key)
    if (known !== undefined) {
      known.times += times
      return known
    }
    if (account !== undefined && this.#counted.size >= MAX_COUNTED) {
      return this.count({ actor, action, outcome }, times)
    }
    const counted = { ...entry, times }
    this.#counted.set(key, counted)
    return counted
  }

  async #flush(): Promise<void> {
    const acts = this.#waiting
    const counted = [...this.#counted.values()]
    this.#waiting = []
    this.#counted = new Map()
    for (let batch = acts.splice(0, BATCH); batch.length > 0; batch = acts.splice(0, BATCH)) {
      await this.#append(batch, () => this.#waiting.push(...batch, ...acts, ...counted.splice(0)))
    }
    for (let batch = counted.splice(0, BATCH); batch.length > 0; batch = counted.splice(0, BATCH)) {
      await this.#append(batch, () => {
        for (const entry of [...batch, ...counted]) this.count(entry, entry.times)
      })
    }
  }

  /** What is not taken is kept for the next window. */
  async #append(batch: CountedEntry[], keep: () => void): Promise<void> {
    try {
      await appendEntries(this.#database.db, batch)
    } catch (error) {
      keep()
      throw error
    }
  }
}
