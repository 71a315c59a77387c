import { setTimeout as delay } from 'node:timers/promises'
import type { JournalLine } from './orders.ts'

/** A line and the process that wrote it: `start` tells two starts of one replica apart. */
export interface Entry extends JournalLine {
  replica: string
  start: number
}

/** What all replicas wrote, in the order of arrival here. */
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

  /** The next line that fits; undefined when none comes in time. */
  async next(fits: (entry: Entry) => boolean, limitMs: number): Promise<Entry | undefined> {
    const { promise, resolve } = Promise.withResolvers<Entry>()
    const watch = (entry: Entry) => {
      if (fits(entry)) resolve(entry)
    }
    this.#watchers.add(watch)
    const timer = new AbortController()
    const late = delay(limitMs, undefined, timer).catch(() => undefined)
    try {
      return await Promise.race([promise, late])
    } finally {
      timer.abort()
      this.#watchers.delete(watch)
    }
  }
}
