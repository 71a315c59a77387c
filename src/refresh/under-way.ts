/** What must end before the process may: claims under way, and answers that may still come. */
export class UnderWay {
  readonly #promises = new Set<Promise<unknown>>()

  track<T>(promise: Promise<T>): Promise<T> {
    this.#promises.add(promise)
    const end = () => this.#promises.delete(promise)
    promise.then(end, end)
    return promise
  }

  /** Resolves when all of it has ended, and what came of that. */
  async drain(): Promise<void> {
    while (this.#promises.size > 0) await Promise.allSettled(this.#promises)
  }
}
