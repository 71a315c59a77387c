import type { Counter } from '@prometheus-io/client'
import type { Database } from '../db/database.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'
import { SEQUENCE_BATCH, sequenceEvents } from './sequence.ts'
import { skipPositions } from './store.ts'

/** Notifications start a run earlier. This finds what they missed. */
const INTERVAL_MS = 1_000

/** Gives events their positions. One replica at a time does it; the others skip the run. */
export class Sequencer implements PeriodicWork {
  readonly name = 'positions of events'
  readonly intervalMs = INTERVAL_MS
  readonly #database: Database
  readonly #sequenced: Counter<'type'>
  #isAsked = false
  #mustSkip = false

  constructor(database: Database, sequenced: Counter<'type'>) {
    this.#database = database
    this.#sequenced = sequenced
  }

  /** True when an event was inserted during a run, which then continues. */
  ask(): void {
    this.#isAsked = true
  }

  /** A promoted server may have forgotten positions: the next run leaves a gap. */
  skipPositions(): void {
    this.#mustSkip = true
  }

  async run(): Promise<void> {
    if (this.#mustSkip) {
      await skipPositions(this.#database.db)
      this.#mustSkip = false
    }
    let count = 0
    do {
      this.#isAsked = false
      const events = await sequenceEvents(this.#database)
      for (const { type } of events) this.#sequenced.inc({ type })
      count = events.length
    } while (count === SEQUENCE_BATCH || this.#isAsked)
  }
}
