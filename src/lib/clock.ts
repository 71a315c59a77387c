import { setTimeout as delay } from 'node:timers/promises'

/**
 * The monotonic time, the timers and the random numbers that a room works with. They are passed in,
 * so that a test decides what time it is and which timer fires first.
 */
export interface Clock {
  /** Returns monotonic milliseconds since an arbitrary moment. Only differences have a meaning. */
  nowMs(): number
  /** Returns a number from 0 up to, but not including, 1. */
  random(): number
  /** Resolves after `ms`. Rejects when `signal` aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Calls `callback` once, after `ms`. Returns the function that cancels it. */
  after(ms: number, callback: () => void): () => void
  /**
   * Calls `callback` every `ms`, and does not keep the process alive. Returns the function that
   * stops it.
   */
  every(ms: number, callback: () => void): () => void
}

/** The clock, the timers and the random numbers of this process. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  random: () => Math.random(),
  async sleep(ms, signal) {
    await delay(ms, undefined, signal && { signal })
  },
  after(ms, callback) {
    const timer = setTimeout(callback, ms)
    return () => clearTimeout(timer)
  },
  every(ms, callback) {
    const timer = setInterval(callback, ms).unref()
    return () => clearInterval(timer)
  },
}
