import { setTimeout as delay } from 'node:timers/promises'
import { type Kysely, sql } from 'kysely'
import type { Tables } from '../../src/db/tables.ts'

/** An account's row, as far as the harness follows it while the run goes on. */
export interface Vitals {
  generation: number
  status: string
  lastErrorCode: string | null
  refreshAtMs: number
}

const BEAT_MS = 500

/** Looks at all accounts twice a second, and tells who waits for one of them. */
export class Pulse {
  now: ReadonlyMap<number, Vitals> = new Map()
  readonly #db: Kysely<Tables>
  readonly #watchers = new Set<() => void>()
  readonly #closing = new AbortController()
  #running: Promise<void> | undefined

  constructor(db: Kysely<Tables>) {
    this.#db = db
  }

  async start(): Promise<void> {
    await this.beat()
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#closing.abort()
    await this.#running
  }

  async beat(): Promise<void> {
    const { rows } = await sql<{ account: number } & Vitals>`
      select "accountId" as account, generation, status, "lastErrorCode",
        (extract(epoch from "refreshAt") * 1000)::float8 as "refreshAtMs"
      from amo_tokens`.execute(this.#db)
    this.now = new Map(rows.map(({ account, ...vitals }) => [account, vitals]))
    for (const watch of this.#watchers) watch()
  }

  /** Milliseconds until the account is so; undefined when it is not within the limit. */
  async until(
    account: number,
    fits: (vitals: Vitals | undefined) => boolean,
    limitMs: number,
  ): Promise<number | undefined> {
    const beganMs = Date.now()
    const { promise, resolve } = Promise.withResolvers<number>()
    const watch = () => {
      if (fits(this.now.get(account))) resolve(Date.now() - beganMs)
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

  async #run(): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted) {
      await delay(BEAT_MS, undefined, { signal }).catch(() => {})
      // The harness has its own way to the server, which no fault touches; a restart of it may.
      await this.beat().catch(() => {})
    }
  }
}
