import type { Clock } from '../../../src/lib/clock.ts'
import type { Actor } from './actor.ts'

/**
 * Returns the clock for an actor's code. The schedule fires its timers, and only after their time
 * has passed. Nothing is random, so that a schedule can be replayed.
 */
export function clockOf(actor: Actor): Clock {
  const stand = (ms: number, signal?: AbortSignal): Promise<void> => {
    const { time } = actor
    const dueMs = time.nowMs + ms
    const ring = async () => {
      if (time.nowMs < dueMs) await time.pass(dueMs - time.nowMs)
    }
    return actor.stand<void>(
      `timer of ${ms} ms`,
      ({ resolve }) => [{ name: 'rings', weight: 2, make: () => ring().then(() => resolve()) }],
      signal,
    )
  }
  return {
    nowMs: () => actor.time.nowMs,
    random: () => 0.5,
    sleep: stand,
    after(ms, callback) {
      const cancelled = new AbortController()
      stand(ms, cancelled.signal).then(callback, () => {})
      return () => cancelled.abort()
    },
    every: () => {
      throw new Error('periodic work is run by the schedule')
    },
  }
}
