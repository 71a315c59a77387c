/** Causes that are remembered. A message may contain something that differs each time. */
const MAX_CAUSES = 20

/**
 * Tells new failures from repeated ones, so that work that is repeated logs each cause once until
 * it succeeds again. Two causes may alternate.
 */
export class FailureChange {
  readonly #causes = new Set<string>()

  /** Notes a failure. @returns true when its cause is new since the last success. */
  isNew(error: unknown): boolean {
    const { code, name, message } = (error ?? {}) as Partial<Record<string, unknown>>
    const cause = String(code ?? `${name}: ${message}`)
    if (this.#causes.has(cause) || this.#causes.size >= MAX_CAUSES) return false
    this.#causes.add(cause)
    return true
  }

  /** Notes a success. @returns true when it ends a failure. */
  hasEnded(): boolean {
    const wasFailing = this.#causes.size > 0
    this.#causes.clear()
    return wasFailing
  }
}
