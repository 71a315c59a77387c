import { noAnswer } from './error.ts'

/** The end of one call: its time limit and the caller's signal. */
export interface Deadline {
  endMs: number
  signal: AbortSignal | undefined
}

/** Waits for `ms`, or throws the signal's reason. The timer is gone when this returns. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  await new Promise<void>((resolve) => {
    const end = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end)
  })
  signal.throwIfAborted()
}

/**
 * Waits for a promise that others share: the deadline ends only this wait.
 *
 * @throws the signal's reason, or AmoTokenError `timeout`
 */
export async function waitFor<T>(shared: Promise<T>, { endMs, signal }: Deadline): Promise<T> {
  const end = new AbortController()
  const ends = AbortSignal.any(signal === undefined ? [end.signal] : [signal, end.signal])
  const late = sleep(endMs - performance.now(), ends).then(() => {
    throw noAnswer('timeout')
  })
  try {
    return await Promise.race([shared, late])
  } finally {
    end.abort()
  }
}
