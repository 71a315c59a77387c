import type { Logger } from 'pino'

/** Work that is done again and again, one run at a time, however long a run takes. A run that fails is logged. */
export class Repeated {
  readonly #name: string
  readonly #intervalMs: number
  readonly #run: () => Promise<void>
  readonly #log: Logger
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined

  constructor(name: string, intervalMs: number, run: () => Promise<void>, log: Logger) {
    this.#name = name
    this.#intervalMs = intervalMs
    this.#run = run
    this.#log = log
  }

  /** Runs at once, and then in every interval. */
  start(): void {
    this.#timer = setInterval(() => this.runNow(), this.#intervalMs).unref()
    this.runNow()
  }

  /** Begins a run unless one is under way. */
  runNow(): void {
    this.#running ??= this.#run()
      .catch((err) => this.#log.warn({ err, work: this.#name }, 'scheduled work failed'))
      .finally(() => {
        this.#running = undefined
      })
  }

  /** Begins no run any more, and waits for the one that is under way. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#running
  }
}
