/**
 * What `promise` brings, or `late` when it takes longer than `limitMs`. A timer and nothing else: thousands may wait at a
 * time, and aborting a delay of `node:timers/promises` makes an error each.
 */
export async function within<T, L>(promise: Promise<T>, limitMs: number, late: L): Promise<T | L> {
  const { promise: isOver, resolve } = Promise.withResolvers<L>()
  const timer = setTimeout(resolve, limitMs, late)
  try {
    return await Promise.race([promise, isOver])
  } finally {
    clearTimeout(timer)
  }
}
