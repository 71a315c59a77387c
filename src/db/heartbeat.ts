import { sql } from 'kysely'
import type { Logger } from 'pino'
import type { Database } from './database.ts'
import { failureOf } from './failures.ts'
import type { Storage } from './storage-state.ts'

/** Beats in one HEARTBEAT_MS: one may be lost while the cache stays trusted. */
const BEATS = 3
/** Twice a second, because `ClientDirectory` trusts a beat for only one second. */
const MAX_INTERVAL_MS = 500
/** LISTEN is started anew after this many HEARTBEAT_MS without a notification. */
const SILENCE = 3
/** A slower beat measures the clock too imprecisely. */
const MAX_ROUND_TRIP_MS = 500
/** Rows of replicas that ended without a farewell are kept for this long. */
const KEPT_HOURS = 1

/**
 * Measures PostgreSQL's clock, proves that it can be written to by the replica's row, and proves
 * that its notifications arrive by a NOTIFY to itself, at least every half second on a connection
 * of its own. Notifications arrive in the order of their commits.
 * The echo of a beat therefore proves that everything committed before the beat was sent has been
 * heard. All times come from the monotonic clock, so that a step of the system clock has no effect.
 */
export class Heartbeat {
  readonly channel: string
  readonly storage: Storage
  readonly #owner: string
  readonly #database: Database
  readonly #log: Logger
  readonly #trustMs: number
  /** PostgreSQL's time minus `performance.now()`. */
  #offsetMs = Date.now() - performance.now()
  #lastHeardMs = Number.NEGATIVE_INFINITY
  #lastAskedMs = Number.NEGATIVE_INFINITY
  #startedMs = performance.now()
  #isSilent = false
  /** LISTEN was reported as silent, and nothing was heard since. */
  #hasReportedSilence = false
  /** The last beat's failure; undefined: it was answered, or has no answer yet. */
  #failure: unknown
  /** When LISTEN was last started: it gets time before it counts as dead. */
  #listensSinceMs = performance.now()
  #timer: NodeJS.Timeout | undefined
  #beating: Promise<void> | undefined

  constructor(database: Database, owner: string, trustMs: number, log: Logger) {
    this.channel = `amo_heartbeat_${owner.replaceAll('-', '')}`
    this.storage = database.storage
    this.#owner = owner
    this.#database = database
    this.#trustMs = trustMs
    this.#log = log
  }

  /** Starts beating and resolves after the first beat, even if that one failed. */
  async start(): Promise<void> {
    this.#listensSinceMs = performance.now()
    const intervalMs = Math.min(MAX_INTERVAL_MS, this.#trustMs / BEATS)
    this.#startedMs = performance.now()
    this.#timer = setInterval(() => {
      this.#noticeSilence()
      this.#beating ??= this.#beat().finally(() => {
        this.#beating = undefined
      })
    }, intervalMs).unref()
    await this.#beat()
    await this.#forgetOthers()
  }

  /** Ends the beats. The replica's row is removed, so that nothing waits for this process. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#beating
    if (!this.storage.canWrite()) return
    await sql`delete from amo_replicas where owner = ${this.#owner}`
      .execute(this.#database.db)
      .catch(() => {})
  }

  /** Returns PostgreSQL's time, milliseconds since 1970. */
  nowMs(): number {
    return performance.now() + this.#offsetMs
  }

  /** Returns the milliseconds since the newest beat that came back was sent. */
  ageMs(): number {
    return performance.now() - this.#lastHeardMs
  }

  /** Whether every change that was committed more than HEARTBEAT_MS ago has been heard. */
  isTrusted(): boolean {
    return this.ageMs() < this.#trustMs
  }

  /**
   * Returns PostgreSQL's time, or undefined when `ageMs` is more than `withinMs`. Reads the clock
   * once, because every read calls it.
   */
  nowMsIfHeard(withinMs: number): number | undefined {
    const now = performance.now()
    return now - this.#lastHeardMs <= withinMs ? now + this.#offsetMs : undefined
  }

  /** Whether the database answered a beat within HEARTBEAT_MS. */
  isDatabaseUp(): boolean {
    return performance.now() - this.#lastAskedMs < this.#trustMs
  }

  /** Handles notifications on `channel`. */
  readonly onEcho = (payload: string): void => {
    const sentMs = Number(payload)
    // A server of the past proves nothing.
    if (this.storage.isBehind) return
    // Every database user can notify: a time that no beat of ours can have sent is ignored.
    if (sentMs <= this.#lastHeardMs || sentMs > performance.now()) return
    this.#lastHeardMs = sentMs
    if (!this.#hasReportedSilence) return
    this.#hasReportedSilence = false
    this.#log.info('LISTEN is heard again')
  }

  async #beat(): Promise<void> {
    const sentMs = performance.now()
    try {
      const message = { owner: this.#owner, channel: this.channel, payload: String(sentMs) }
      const { now, ...sighting } = await this.#database.beats.send(message)
      const roundTripMs = performance.now() - sentMs
      this.#lastAskedMs = sentMs
      this.#failure = undefined
      this.storage.see(sighting)
      if (this.storage.isBehind) this.#lastHeardMs = Number.NEGATIVE_INFINITY
      if (roundTripMs < MAX_ROUND_TRIP_MS) {
        this.#offsetMs = now.getTime() - (sentMs + roundTripMs / 2)
      }
    } catch (error) {
      this.#failure = error
      this.#log.debug({ err: error }, 'heartbeat failed')
    }
    if (this.isDatabaseUp()) this.#reviveListen()
  }

  /** A server that is busy answers later. One that gave no answer for HEARTBEAT_MS is lost. */
  #noticeSilence(): void {
    const sinceMs = Math.max(this.#lastAskedMs, this.#startedMs)
    const isSilent = performance.now() - sinceMs >= this.#trustMs
    const wasSilent = this.#isSilent
    this.#isSilent = isSilent
    // After a stall of this process the first tick comes before the answers that have arrived.
    if (!isSilent || !wasSilent) return
    if (this.#failure === undefined || failureOf(this.#failure) !== 'busy') {
      this.storage.lose(this.#failure)
    }
  }

  /** Removes rows of replicas that ended long ago. */
  async #forgetOthers(): Promise<void> {
    if (!this.storage.canWrite()) return
    await sql`
      delete from amo_replicas where "beatAt" < clock_timestamp() - ${KEPT_HOURS} * interval '1 hour'
    `
      .execute(this.#database.db)
      .catch(() => {})
  }

  /**
   * Starts LISTEN anew when the pool works and nothing is heard: the connection is dead and may not
   * know it.
   */
  #reviveListen(): void {
    const silentMs = Math.min(this.ageMs(), performance.now() - this.#listensSinceMs)
    if (silentMs < SILENCE * this.#trustMs) return
    this.#listensSinceMs = performance.now()
    const level = this.#hasReportedSilence ? 'debug' : 'warn'
    this.#hasReportedSilence = true
    this.#log[level]('LISTEN was silent, reconnecting')
    this.#database.listenAgain()
  }
}
