import { type AccountKey, keyText } from '../accounts/account-key.ts'

/** Wakes those who wait for an account to change, whichever replica changed it. */
export class Waiters {
  readonly #waiting = new Map<string, PromiseWithResolvers<void>>()

  /** The next change of this account. Take it before looking at the account: no change is missed then. */
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

  /** After a gap in what was heard: everybody looks again. */
  wakeAll(): void {
    for (const waiting of this.#waiting.values()) waiting.resolve()
    this.#waiting.clear()
  }
}
