import { withTimeout } from '../../src/lib/with-timeout.ts'
import type { JournalLine } from './orders.ts'

/** A line and the process that wrote it. `start` is the number of the replica's start. */
export interface Entry extends JournalLine {
  replica: string
  start: number
}

/** Collects the lines of all replicas in the order in which the harness receives them. */
export class Journal {
  readonly #byAccount = new Map<number, Entry[]>()
  readonly #watchers = new Set<(entry: Entry) => void>()
  readonly stepCounts = new Map<string, number>()

  add(entry: Entry): void {
    const entries = this.#byAccount.get(entry.account) ?? []
    entries.push(entry)
    this.#byAccount.set(entry.account, entries)
    this.stepCounts.set(entry.step, (this.stepCounts.get(entry.step) ?? 0) + 1)
    for (const watch of this.#watchers) watch(entry)
  }

  of(account: number): readonly Entry[] {
    return this.#byAccount.get(account) ?? []
  }

  *all(): Generator<Entry> {
    for (const entries of this.#byAccount.values()) yield* entries
  }

  /** @returns the next line that fits, or undefined when none comes within the limit */
  async next(fits: (entry: Entry) => boolean, limitMs: number): Promise<Entry | undefined> {
    const { promise, resolve } = Promise.withResolvers<Entry>()
    const watch = (entry: Entry) => {
      if (fits(entry)) resolve(entry)
    }
    this.#watchers.add(watch)
    try {
      return await withTimeout(promise, limitMs, undefined)
    } finally {
      this.#watchers.delete(watch)
    }
  }
}
