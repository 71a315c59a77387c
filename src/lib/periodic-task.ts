import type { Logger } from 'pino'
import { type Clock, systemClock } from './clock.ts'
import { FailureChange } from './failure-change.ts'

/** Work that is repeated for as long as the process runs. */
export interface PeriodicWork {
  /** For the log. */
  readonly name: string
  readonly intervalMs: number
  run(): Promise<void>
}

/** Decides whether work can be done now. */
export interface WorkGate {
  isOpen(): boolean
  /** Whether a failure means that the gate closes, which is logged elsewhere. */
  isClosedBy(error: unknown): boolean
}

const ALWAYS_OPEN: WorkGate = { isOpen: () => true, isClosedBy: () => false }

/**
 * Repeats a `PeriodicWork`, one run at a time, however long a run takes. Logs when runs begin to
 * fail, when the cause changes, and when they succeed again. Runs nothing while the gate is closed.
 */
export class PeriodicTask {
  readonly #work: PeriodicWork
  readonly #log: Logger
  readonly #clock: Clock
  readonly #gate: WorkGate
  readonly #failure = new FailureChange()
  #cancel: (() => void) | undefined
  #running: Promise<void> | undefined

  constructor(
    work: PeriodicWork,
    log: Logger,
    clock: Clock = systemClock,
    gate: WorkGate = ALWAYS_OPEN,
  ) {
    this.#work = work
    this.#log = log
    this.#clock = clock
    this.#gate = gate
  }

  /** Runs now, and then once in every interval. */
  start(): void {
    this.#cancel = this.#clock.every(this.#work.intervalMs, () => this.runNow())
    this.runNow()
  }

  /** Starts a run, unless one is in progress or the gate is closed. */
  runNow(): void {
    if (!this.#gate.isOpen()) return
    this.#running ??= this.#work
      .run()
      .then(
        () => this.#noteSuccess(),
        (err) => this.#noteFailure(err),
      )
      .finally(() => {
        this.#running = undefined
      })
  }

  #noteFailure(err: unknown): void {
    const isLogged = !this.#gate.isClosedBy(err) && this.#failure.isNew(err)
    this.#log[isLogged ? 'warn' : 'debug']({ err, work: this.#work.name }, 'periodic work failed')
  }

  #noteSuccess(): void {
    if (!this.#failure.hasEnded()) return
    this.#log.info({ work: this.#work.name }, 'periodic work succeeds again')
  }

  /** Starts no further run, and waits for the one that is in progress. */
  async stop(): Promise<void> {
    this.#cancel?.()
    await this.#running
  }
}
