import type { Logger } from 'pino'
import { actorHere } from './actor.ts'

/** In the place of the engine's `Repeated`: runs when the schedule says so, one run at a time. */
export class Repeated {
  readonly #name: string
  readonly #run: () => Promise<void>
  isRunning = false

  constructor(name: string, _intervalMs: number, run: () => Promise<void>, _log: Logger) {
    this.#name = name
    this.#run = run
  }

  start(): void {
    actorHere().chores.set(this.#name, this)
  }

  runNow(): void {
    if (this.isRunning) return
    this.isRunning = true
    const end = () => {
      this.isRunning = false
    }
    this.#run().then(end, end)
  }

  async stop(): Promise<void> {}
}
