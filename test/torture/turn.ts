/** Gives a turn to one after the other. */
export class Turn {
  #last: Promise<void> = Promise.resolve()

  /** Waits for the turns before. Dispose of the result to end this one. */
  async take(): Promise<Disposable> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const before = this.#last
    this.#last = promise
    await before
    return { [Symbol.dispose]: resolve }
  }
}
