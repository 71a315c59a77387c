import type { Logger } from 'pino'
import { type Caller, mayRead } from '../clients/caller.ts'
import type { Database } from '../db/database.ts'
import { isStorageFailure } from '../db/failures.ts'
import { parseAccountNotification } from '../lib/account-key.ts'
import { BrokerError } from '../lib/errors.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'
import type { EventRow } from './event-json.ts'
import { findEvents, getHeadPosition } from './store.ts'
import { Subscription } from './subscription.ts'

/** Notifications wake the feed earlier. This finds what they missed. */
const INTERVAL_MS = 1_000
const PAGE = 200
/** Events in memory for all streams. A stream that is further behind reads PostgreSQL. */
const MAX_RECENT = 1_000
/** A service with more processes on one key should distribute the events itself. */
const MAX_STREAMS_PER_KEY = 100
const MAX_STREAMS = 2_000

/** Passes events on to the streams of this process. Reads each event once for all of them. */
export class EventFeed implements PeriodicWork {
  readonly name = 'event streams'
  readonly intervalMs = INTERVAL_MS
  readonly #database: Database
  readonly #log: Logger
  readonly #streams = new Map<Subscription, string>()
  /** Consecutive events, the newest last. They begin after `#start`. */
  #recent: EventRow[] = []
  #start = 0
  #reading: Promise<void> | undefined
  #isStale = false
  #isClosed = false

  constructor(database: Database, log: Logger) {
    this.#database = database
    this.#log = log
  }

  /** Looks for new events if a stream is open. */
  async run(): Promise<void> {
    if (this.#streams.size === 0) return
    this.#isStale = true
    this.#reading ??= this.#catchUp().finally(() => {
      this.#reading = undefined
    })
    await this.#reading
  }

  /** Handles notifications on `amo_invalidated`. */
  readonly onInvalidated = (payload: string): void => {
    const token = parseAccountNotification(payload)
    if (token === undefined) return
    for (const stream of this.#streams.keys()) {
      if (mayRead(stream.caller, token)) stream.invalidate(token)
    }
  }

  /**
   * Opens a stream. Throws `too_many_streams`, and `storage_unavailable` while the process ends.
   *
   * @param key the id of the caller's key, or another name: each has a limit
   * @param after undefined: only new events. A position beyond the newest one means all events that
   *   are left. The database was restored then: no event is missed, and the receiver recognises
   *   those that it knows by their ids
   */
  async open(caller: Caller, key: string, after: number | undefined): Promise<Subscription> {
    this.#requireRoom(key)
    const head = await getHeadPosition(this.#database.db)
    this.#requireRoom(key)
    if (this.#streams.size === 0) {
      this.#recent = []
      this.#start = head
    }
    const position = after === undefined ? head : after > head ? 0 : after
    const stream = new Subscription(caller, this, position)
    this.#streams.set(stream, key)
    this.#log.debug({ client: caller.name, position }, 'event stream opened')
    return stream
  }

  /** Ends a stream. */
  leave(stream: Subscription): void {
    stream.end()
    this.#streams.delete(stream)
  }

  /** Ends all streams, before the listener closes. Receivers reconnect to another replica. */
  close(): void {
    this.#isClosed = true
    for (const stream of this.#streams.keys()) stream.end()
  }

  async readAfter(position: number): Promise<readonly EventRow[]> {
    if (position < this.#start) return findEvents(this.#database.db, position, PAGE)
    const first = this.#recent.findIndex((event) => (event.position ?? 0) > position)
    return first < 0 ? [] : this.#recent.slice(first, first + PAGE)
  }

  async #catchUp(): Promise<void> {
    while (this.#isStale) {
      this.#isStale = false
      try {
        const end = this.#recent.at(-1)?.position ?? this.#start
        const events = await findEvents(this.#database.db, end, PAGE)
        this.#append(events)
        if (events.length === PAGE) this.#isStale = true
      } catch (err) {
        const level = isStorageFailure(err) ? 'debug' : 'warn'
        this.#log[level]({ err }, 'events could not be read')
        return
      }
    }
  }

  #append(events: readonly EventRow[]): void {
    if (events.length === 0) return
    this.#recent.push(...events)
    const removed = this.#recent.splice(0, Math.max(0, this.#recent.length - MAX_RECENT))
    this.#start = removed.at(-1)?.position ?? this.#start
    for (const stream of this.#streams.keys()) stream.wake()
  }

  #requireRoom(key: string): void {
    if (this.#isClosed) {
      throw new BrokerError('storage_unavailable', 'The broker is draining.', {
        retryAfterSeconds: 1,
      })
    }
    const ofKey = [...this.#streams.values()].filter((each) => each === key).length
    if (ofKey < MAX_STREAMS_PER_KEY && this.#streams.size < MAX_STREAMS) return
    throw new BrokerError('too_many_streams', 'Too many streams are open.', {
      retryAfterSeconds: 10,
    })
  }
}
