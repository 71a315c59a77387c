import type { ChildProcess } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'

/** Waits until the broker at `url` is ready, its process has ended, or the limit is over. */
export async function becomesReady(
  child: ChildProcess,
  url: string,
  limitMs: number,
): Promise<'ready' | 'ended' | 'late'> {
  const endMs = Date.now() + limitMs
  while (child.exitCode === null && child.signalCode === null) {
    const ready = await fetch(`${url}/health/ready`, {
      signal: AbortSignal.timeout(2_000),
    }).catch(() => undefined)
    if (ready?.ok) return 'ready'
    if (Date.now() > endMs) return 'late'
    await delay(50)
  }
  return 'ended'
}
