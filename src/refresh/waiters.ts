import { type AccountKey, keyText } from '../lib/account-key.ts'

/** Wakes the callers that wait for an account to change, whichever replica changes it. */
export class Waiters {
  readonly #waiting = new Map<string, PromiseWithResolvers<void>>()

  /**
   * Resolves at the next change of the account. Call it before reading the account, so that no
   * change is missed.
   */
  next(key: AccountKey): Promise<void> {
    const text = keyText(key)
    let waiting = this.#waiting.get(text)
    if (waiting === undefined) {
      waiting = Promise.withResolvers<void>()
      this.#waiting.set(text, waiting)
    }
    return waiting.promise
  }

  wake(key: AccountKey): void {
    const text = keyText(key)
    this.#waiting.get(text)?.resolve()
    this.#waiting.delete(text)
  }

  /** Wakes all callers, after a gap in the notifications. */
  wakeAll(): void {
    for (const waiting of this.#waiting.values()) waiting.resolve()
    this.#waiting.clear()
  }
}
