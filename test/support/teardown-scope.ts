/** Releases resources when it ends: a tap test, or a run of the torture harness. */
export interface TeardownScope {
  teardown(end: () => unknown): void
}

/** Runs `work` and then its teardowns in reverse order, even when `work` fails. */
export async function withTeardown<T>(work: (scope: TeardownScope) => Promise<T>): Promise<T> {
  await using stack = new AsyncDisposableStack()
  return await work({
    teardown(end) {
      stack.defer(async () => {
        await end()
      })
    },
  })
}
