import type { PeriodicWork } from '../../../src/lib/periodic-task.ts'

/** Periodic work that runs when the schedule says so, one run at a time. */
export class Chore {
  readonly #work: PeriodicWork
  isRunning = false

  constructor(work: PeriodicWork) {
    this.#work = work
  }

  runNow(): void {
    if (this.isRunning) return
    this.isRunning = true
    const end = () => {
      this.isRunning = false
    }
    this.#work.run().then(end, end)
  }
}
