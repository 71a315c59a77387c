import { sql } from 'kysely'
import type { Logger } from 'pino'
import type { Database } from './database.ts'

/** Beats a HEARTBEAT_MS: one may be lost without the cache losing its trust. */
const BEATS = 3
/** Twice a second: what trusts for a second alone (`ClientDirectory`) hears of a beat in time. */
const MAX_INTERVAL_MS = 500
/** Times HEARTBEAT_MS: so long nothing may be heard before LISTEN is begun anew. */
const SILENCE = 3
/** A beat that took longer says too little about the clock. */
const MAX_ROUND_TRIP_MS = 500

/**
 * PostgreSQL's clock, and the proof that its notifications arrive: a NOTIFY to ourselves, through the pool,
 * every half second at the most. Notifications come in the order of their commits, so the echo of a beat proves that
 * everything committed before the beat was sent has been heard. All times are taken from the monotonic
 * clock, so a stepped system clock moves nothing.
 */
export class Heartbeat {
  readonly channel: string
  readonly #database: Database
  readonly #log: Logger
  readonly #trustMs: number
  /** PostgreSQL's time minus `performance.now()`. */
  #offsetMs = Date.now() - performance.now()
  #lastHeardMs = Number.NEGATIVE_INFINITY
  #lastAskedMs = Number.NEGATIVE_INFINITY
  /** When LISTEN was last begun or begun anew: it gets its time before it counts as dead. */
  #listensSinceMs = performance.now()
  #timer: NodeJS.Timeout | undefined
  #beating: Promise<void> | undefined

  constructor(database: Database, owner: string, trustMs: number, log: Logger) {
    this.channel = `amo_heartbeat_${owner.replaceAll('-', '')}`
    this.#database = database
    this.#trustMs = trustMs
    this.#log = log
  }

  /** Starts beating and resolves after the first beat, also when that one failed. */
  async start(): Promise<void> {
    this.#listensSinceMs = performance.now()
    const intervalMs = Math.min(MAX_INTERVAL_MS, this.#trustMs / BEATS)
    this.#timer = setInterval(() => {
      this.#beating ??= this.#beat().finally(() => {
        this.#beating = undefined
      })
    }, intervalMs).unref()
    await this.#beat()
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#beating
  }

  /** PostgreSQL's time, milliseconds since 1970. */
  nowMs(): number {
    return performance.now() + this.#offsetMs
  }

  /** Milliseconds since the newest beat that came back was sent. */
  ageMs(): number {
    return performance.now() - this.#lastHeardMs
  }

  /** Whether every change committed more than HEARTBEAT_MS ago has been heard of. */
  isTrusted(): boolean {
    return this.ageMs() < this.#trustMs
  }

  /** PostgreSQL's time while `ageMs` is no more than `withinMs`, by one look at the clock: reads ask for it every time. */
  nowMsIfHeard(withinMs: number): number | undefined {
    const now = performance.now()
    return now - this.#lastHeardMs <= withinMs ? now + this.#offsetMs : undefined
  }

  /** Whether the database answered a beat lately. */
  isDatabaseUp(): boolean {
    return performance.now() - this.#lastAskedMs < this.#trustMs
  }

  /** For the subscription of `channel`. */
  readonly onEcho = (payload: string): void => {
    const sentMs = Number(payload)
    // Anybody who may connect may notify: what no beat of ours can have said is none.
    if (sentMs > this.#lastHeardMs && sentMs <= performance.now()) this.#lastHeardMs = sentMs
  }

  async #beat(): Promise<void> {
    const sentMs = performance.now()
    try {
      const { rows } = await sql<{ now: Date }>`
        select clock_timestamp() as now, pg_notify(${this.channel}, ${String(sentMs)})
      `.execute(this.#database.db)
      const roundTripMs = performance.now() - sentMs
      this.#lastAskedMs = sentMs
      const [row] = rows
      if (row !== undefined && roundTripMs < MAX_ROUND_TRIP_MS) {
        this.#offsetMs = row.now.getTime() - (sentMs + roundTripMs / 2)
      }
    } catch (error) {
      this.#log.debug({ err: error }, 'heartbeat failed')
    }
    if (this.isDatabaseUp()) this.#reviveListen()
  }

  /** The pool works but nothing is heard: LISTEN is dead, though its connection may not know. */
  #reviveListen(): void {
    const silentMs = Math.min(this.ageMs(), performance.now() - this.#listensSinceMs)
    if (silentMs < SILENCE * this.#trustMs) return
    this.#listensSinceMs = performance.now()
    this.#log.warn('nothing heard of LISTEN, connecting again')
    this.#database.listenAgain()
  }
}
