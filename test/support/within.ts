import type { Scope } from './scope.ts'

/** Runs something whose servers and processes end with it, the last one first, also when it fails. */
export async function within<T>(work: (scope: Scope) => Promise<T>): Promise<T> {
  await using stack = new AsyncDisposableStack()
  return await work({
    teardown(end) {
      stack.defer(async () => {
        await end()
      })
    },
  })
}
