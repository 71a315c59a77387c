import { Counter, type Registry } from '@prometheus-io/client'
import type { Clock } from '../lib/clock.ts'

const INTERVAL_MS = 10
/** The longest wait that the objective for reads allows (docs/operations.md, Objectives). */
const LIMIT_MS = 10

/**
 * Measures for how long a read that arrives would have waited for the event loop. A hit takes a
 * few microseconds of work, so nearly all of its latency is this wait. Measuring each read would
 * cost more than the read, and would not see those that arrive during a stall.
 */
export class LoopWatch {
  readonly #clock: Clock
  #watchedMs = 0
  #blockedMs = 0

  constructor(registry: Registry, clock: Clock) {
    this.#clock = clock
    const watchedSeconds = () => this.#watchedMs / 1000
    const blockedSeconds = () => this.#blockedMs / 1000
    const registers = [registry]
    new Counter({
      name: 'amo_event_loop_watched_seconds_total',
      help: 'Time in which the event loop was watched; sum over replicas',
      registers,
      collect() {
        this.reset()
        this.inc(watchedSeconds())
      },
    })
    new Counter({
      name: 'amo_event_loop_blocked_seconds_total',
      help: 'Part of that time in which a read that arrived waited more than 10 ms for the event loop; sum over replicas',
      registers,
      collect() {
        this.reset()
        this.inc(blockedSeconds())
      },
    })
  }

  /** Starts to watch. Returns the function that ends it. */
  start(): () => void {
    let lastMs = this.#clock.nowMs()
    return this.#clock.every(INTERVAL_MS, () => {
      const nowMs = this.#clock.nowMs()
      const passedMs = nowMs - lastMs
      lastMs = nowMs
      this.#watchedMs += passedMs
      // The timer was due after INTERVAL_MS. Reads of the last LIMIT_MS of a stall
      // waited less.
      this.#blockedMs += Math.max(0, passedMs - INTERVAL_MS - LIMIT_MS)
    })
  }
}
