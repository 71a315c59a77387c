import type { Caller } from '../clients/caller.ts'
import type { AccountKey } from '../lib/account-key.ts'
import type { EventRow } from './event-json.ts'
import { maySeeEvent } from './visibility.ts'

/** A token that must not be used any more, although its promise has not ended. */
export interface Invalidated extends AccountKey {
  generation: number
}

export type StreamItem =
  | { kind: 'event'; event: EventRow }
  | { kind: 'invalidated'; invalidated: Invalidated }
  /** Nothing was sent for a while. `position`: everything up to it was sent. */
  | { kind: 'idle'; position: number }

/** A quiet stream sends something this often, so that proxies leave it open. */
const IDLE_MS = 15_000
/** A receiver that has more of them unread is disconnected. It can continue from its position. */
const MAX_INVALIDATED = 1_000

/** Where a subscription reads events from. */
interface EventSource {
  /** Returns the next events after the position, without a gap; empty: there are none yet. */
  readAfter(position: number): Promise<readonly EventRow[]>
}

/** One receiver of the stream. Nothing is read for it while the receiver does not read. */
export class Subscription {
  /** The receiver with its present grants. */
  caller: Caller
  readonly #source: EventSource
  #position: number
  #invalidated: Invalidated[] = []
  #isEnded = false
  #wake: (() => void) | undefined

  constructor(caller: Caller, source: EventSource, position: number) {
    this.caller = caller
    this.#source = source
    this.#position = position
  }

  /** Continues `items` because there is something new. */
  wake(): void {
    this.#wake?.()
  }

  /** Ends `items`. */
  end(): void {
    this.#isEnded = true
    this.wake()
  }

  /** Adds a token to what is sent next. */
  invalidate(invalidated: Invalidated): void {
    if (this.#invalidated.length >= MAX_INVALIDATED) this.end()
    else this.#invalidated.push(invalidated)
    this.wake()
  }

  /** Returns what the receiver may see, until the subscription ends. */
  async *items(): AsyncGenerator<StreamItem, void> {
    yield { kind: 'idle', position: this.#position }
    while (!this.#isEnded) {
      const invalidated = this.#invalidated
      this.#invalidated = []
      for (const each of invalidated) yield { kind: 'invalidated', invalidated: each }
      const events = await this.#source.readAfter(this.#position)
      for (const event of events) {
        if (this.#isEnded) return
        if (maySeeEvent(this.caller, event)) yield { kind: 'event', event }
        this.#position = event.position ?? this.#position
      }
      if (events.length > 0 || this.#invalidated.length > 0 || this.#isEnded) continue
      if (await this.#isIdle()) yield { kind: 'idle', position: this.#position }
    }
  }

  /** Waits for something new. @returns true when there was nothing for IDLE_MS */
  async #isIdle(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const timer = setTimeout(resolve, IDLE_MS, true)
    this.#wake = () => resolve(false)
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#wake = undefined
    }
  }
}
