import { type Clock, systemClock } from './clock.ts'

/**
 * Resolves like `promise`, or with `late` when that takes longer than `limitMs`. The promise is not
 * cancelled. Uses a plain timer, because thousands may wait at a time and aborting a `sleep`
 * creates an error each.
 */
export async function withTimeout<T, L>(
  promise: Promise<T>,
  limitMs: number,
  late: L,
  clock: Clock = systemClock,
): Promise<T | L> {
  const { promise: limit, resolve } = Promise.withResolvers<L>()
  const cancel = clock.after(limitMs, () => resolve(late))
  try {
    return await Promise.race([promise, limit])
  } finally {
    cancel()
  }
}
