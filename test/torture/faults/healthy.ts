import { setTimeout as delay } from 'node:timers/promises'
import type { Replica } from '../replica.ts'
import type { Stage } from '../stage.ts'

const LIMIT_MS = 60_000
/** What a replica lacks of PostgreSQL, LISTEN or Redis; what the provider does is another fault's matter. */
const INFRASTRUCTURE = /^(postgres|listen|redis):/

/** Milliseconds until every replica that is up has all it needs; undefined when that takes too long. */
export async function untilHealthy(stage: Stage): Promise<number | undefined> {
  const beganMs = Date.now()
  while (Date.now() - beganMs < LIMIT_MS) {
    const up = stage.replicas.filter(({ isUp }) => isUp)
    const healthy = await Promise.all(up.map(isHealthy))
    if (stage.signal.aborted || (up.length > 0 && healthy.every(Boolean))) {
      return Date.now() - beganMs
    }
    await delay(100)
  }
  return undefined
}

/** One that was taken down meanwhile is another fault's matter as well. */
async function isHealthy(replica: Replica): Promise<boolean> {
  const answer = await fetch(`${replica.url}/health/ready`, {
    signal: AbortSignal.timeout(2_000),
  }).catch(() => undefined)
  if (answer === undefined) return !replica.isUp
  const { degraded } = (await answer.json()) as { degraded: string[] }
  return answer.ok && !degraded.some((line) => INFRASTRUCTURE.test(line))
}
