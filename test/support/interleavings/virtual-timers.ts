import { actorHere } from './actor.ts'

/** In the place of `node:timers/promises`: rings when the schedule says so, and by then its time has passed. */
export function setTimeout<T>(
  ms: number,
  value: T,
  options: { signal?: AbortSignal } = {},
): Promise<T> {
  const actor = actorHere()
  const dueMs = actor.clock.nowMs + ms
  const ring = async () => {
    const { clock } = actor
    if (clock.nowMs < dueMs) await clock.pass(dueMs - clock.nowMs)
  }
  return actor.stand<T>(
    `timer of ${ms} ms`,
    ({ resolve }) => [{ name: 'rings', weight: 2, make: () => ring().then(() => resolve(value)) }],
    options.signal,
  )
}

/** In the place of `src/within.ts`: the limit is over when the schedule says so. */
export async function within<T, L>(promise: Promise<T>, limitMs: number, late: L): Promise<T | L> {
  const timer = new AbortController()
  const isOver = setTimeout(limitMs, late, timer).catch(() => late)
  try {
    return await Promise.race([promise, isOver])
  } finally {
    timer.abort()
  }
}
