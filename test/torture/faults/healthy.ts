import { setTimeout as delay } from 'node:timers/promises'
import type { Harness } from '../harness.ts'
import type { Replica } from '../replica.ts'
import type { Fault, Random } from './fault.ts'

const LIMIT_MS = 60_000
/**
 * The degraded parts that this check waits for. Failures of the provider belong to other faults.
 */
const INFRASTRUCTURE = /^(postgres|listen|redis):/

/**
 * Returns a fault of the infrastructure: does `work`, and waits until every running replica is
 * healthy again. `work` returns false when it did nothing.
 */
export function infrastructureFault(
  name: string,
  work: (harness: Harness, random: Random) => Promise<boolean | undefined>,
): Fault {
  return {
    name,
    async inject(harness, random) {
      const incident = harness.incidents.begin(name)
      if ((await work(harness, random)) === false) return harness.incidents.drop(incident)
      const tookMs = await untilHealthy(harness)
      const outcome = tookMs === undefined ? 'NOT RECOVERED' : 'healthy'
      return harness.incidents.end(incident, outcome, tookMs)
    },
  }
}

/**
 * Waits until no running replica reports one of these parts as degraded. Returns the milliseconds,
 * or undefined after the limit.
 */
export async function untilHealthy(
  harness: Harness,
  parts = INFRASTRUCTURE,
): Promise<number | undefined> {
  const beganMs = Date.now()
  while (Date.now() - beganMs < LIMIT_MS) {
    const up = harness.replicas.filter(({ isUp }) => isUp)
    const healthy = await Promise.all(up.map((replica) => isHealthy(replica, parts)))
    if (harness.signal.aborted || (up.length > 0 && healthy.every(Boolean))) {
      return Date.now() - beganMs
    }
    await delay(100)
  }
  return undefined
}

/** Returns true for a replica that another fault has just taken down. */
async function isHealthy(replica: Replica, parts: RegExp): Promise<boolean> {
  const answer = await fetch(`${replica.url}/health/ready`, {
    signal: AbortSignal.timeout(2_000),
  }).catch(() => undefined)
  if (answer === undefined) return !replica.isUp
  const { degraded } = (await answer.json()) as { degraded: string[] }
  return answer.ok && !degraded.some((line) => parts.test(line))
}
