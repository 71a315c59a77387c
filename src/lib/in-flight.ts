/**
 * Promises that must settle before the process may end: refreshes in progress, and responses that
 * may still arrive.
 */
export class InFlight {
  readonly #promises = new Set<Promise<unknown>>()

  /** Remembers the promise until it settles. Returns it. */
  track<T>(promise: Promise<T>): Promise<T> {
    this.#promises.add(promise)
    const forget = () => this.#promises.delete(promise)
    promise.then(forget, forget)
    return promise
  }

  /** Resolves when every promise has settled, including those that were tracked meanwhile. */
  async drain(): Promise<void> {
    while (this.#promises.size > 0) await Promise.allSettled(this.#promises)
  }
}
