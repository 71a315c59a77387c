import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { FailureChange } from '../lib/failure-change.ts'

/** A head of the chain: the number of a row, and its mac. */
export interface KnownHead {
  seq: number
  mac: string
  /** Signatures of the restores that the chain has (`src/audit/break.ts`). */
  breaks: readonly string[]
  /** PostgreSQL's timeline at that time; 0: unknown. */
  timeline: number
}

/** Returns the file where a replica remembers the newest head that it has seen. */
function knownHeadFile(dataDir: string): string {
  return join(dataDir, 'audit-head')
}

/**
 * Remembers the newest head of the chain outside the database, in memory and in DATA_DIR, so that a
 * chain that was cut off or made anew is noticed.
 */
export class RememberedHead {
  readonly #dataDir: string
  readonly #log: Logger
  readonly #failure = new FailureChange()
  #head: KnownHead | undefined
  #isRead = false

  constructor(dataDir: string, log: Logger) {
    this.#dataDir = dataDir
    this.#log = log
  }

  /** Returns the head, or undefined before the first one. Reads the file once. */
  async get(): Promise<KnownHead | undefined> {
    if (this.#isRead) return this.#head
    this.#head = await readKnownHead(this.#dataDir)
    this.#isRead = true
    return this.#head
  }

  /** Remembers a head that fits the one before. Logs a disk that does not take it. */
  async set({ seq, mac, timeline, breaks }: KnownHead): Promise<void> {
    if (this.#head?.seq === seq && this.#head.timeline === timeline) return
    this.#head = { seq, mac, timeline, breaks }
    const file = knownHeadFile(this.#dataDir)
    try {
      // Replaced as a whole, so that a kill leaves either head.
      const lines = [`${seq} ${mac} ${timeline}`, ...breaks].join('\n')
      await writeFile(`${file}.new`, `${lines}\n`, { mode: 0o600 })
      await rename(`${file}.new`, file)
      this.#failure.hasEnded()
    } catch (err) {
      const level = this.#failure.isNew(err) ? 'warn' : 'debug'
      this.#log[level]({ err }, 'audit head not remembered on disk')
    }
  }
}

/** Reads the head that a replica with this DATA_DIR remembers. @returns undefined: none */
export async function readKnownHead(dataDir: string): Promise<KnownHead | undefined> {
  const text = await readFile(knownHeadFile(dataDir), 'utf8').catch(() => '')
  const format = /^(\d+) ([\w-]+)(?: (\d+))?\n((?:[0-9a-f]+\n)*)$/
  const [, seq, mac, timeline = 0, rest = ''] = format.exec(text) ?? []
  if (seq === undefined || mac === undefined) return undefined
  const breaks = rest.split('\n').filter((line) => line !== '')
  return { seq: Number(seq), mac, timeline: Number(timeline), breaks }
}
