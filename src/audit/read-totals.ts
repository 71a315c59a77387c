import type { CountedEntry } from './entry.ts'

/** The operation id of the reads that are counted. */
const READ = 'readToken'
/** HTTP statuses from here on mean that the broker could not answer. */
const SERVER_ERROR = 500

/**
 * What a read got. `served`: a token, or 304. `refused`: an error that only the caller or a person
 * can resolve (4xx). `unavailable`: the broker, its storage or the provider could not answer (5xx).
 */
export type ReadResult = 'served' | 'refused' | 'unavailable'

/** The number of reads of one client with the same end. */
export interface ReadCount {
  client: string
  result: ReadResult
  outcome: string
  times: number
}

type Sums = Map<string, ReadCount>

/** Sums the counted reads since the start of the process, for metrics. */
export class ReadTotals {
  readonly #written: Sums = new Map()

  /** Adds entries that leave the window. */
  add(entries: Iterable<CountedEntry>): void {
    for (const entry of entries) addTo(this.#written, entry, entry.times)
  }

  /** Takes back an entry that returns to the window, because the database did not take it. */
  subtract(entry: CountedEntry): void {
    addTo(this.#written, entry, -entry.times)
  }

  /** Returns the sums, with those of the entries in the window. */
  sums(window: Iterable<CountedEntry>): ReadCount[] {
    const sums: Sums = new Map()
    for (const [key, count] of this.#written) sums.set(key, { ...count })
    for (const entry of window) addTo(sums, entry, entry.times)
    return [...sums.values()]
  }
}

function addTo(sums: Sums, entry: CountedEntry, times: number): void {
  const { actor: client, action, outcome } = entry
  if (action !== READ) return
  const result = resultOf(entry)
  const key = `${client} ${result} ${outcome}`
  const known = sums.get(key)
  if (known !== undefined) known.times += times
  else sums.set(key, { client, result, outcome, times })
}

function resultOf({ errorStatus }: CountedEntry): ReadResult {
  if (errorStatus === undefined) return 'served'
  return errorStatus < SERVER_ERROR ? 'refused' : 'unavailable'
}
