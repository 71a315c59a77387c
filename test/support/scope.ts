/** What outlives its maker and is ended at the end of it: a tap test, or a run of the torture harness. */
export interface Scope {
  teardown(end: () => unknown): void
}

/** Runs something whose servers and processes end with it, the last one first, also when it fails. */
export async function withScope<T>(work: (scope: Scope) => Promise<T>): Promise<T> {
  await using stack = new AsyncDisposableStack()
  return await work({
    teardown(end) {
      stack.defer(async () => {
        await end()
      })
    },
  })
}
