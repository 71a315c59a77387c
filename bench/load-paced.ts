import { json } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { Pool } from 'undici'
import { percentile } from './figures.ts'
import type { Aim, PacedLoad } from './load.ts'

/**
 * Open loop: sends each request at its time, even when earlier ones have no response yet, so that
 * the figures include the stalls of a server.
 */
const { origins, paths, authorization, rate, seconds } = (await json(process.stdin)) as Omit<
  Aim,
  'origin'
> &
  PacedLoad
const pools = origins.map((origin) => new Pool(origin, { connections: 20 }))
const tookMs: number[] = []
let failures = 0
const underWay = new Set<Promise<void>>()
const beganMs = performance.now()
const total = rate * seconds
for (let nth = 0; nth < total; nth += 1) {
  const dueMs = beganMs + (nth * 1_000) / rate
  const waitMs = dueMs - performance.now()
  if (waitMs > 0) await delay(waitMs)
  const asked = ask(nth).finally(() => underWay.delete(asked))
  underWay.add(asked)
}
await Promise.all(underWay)
console.log(
  JSON.stringify({
    requestsPerSecond: tookMs.length / ((performance.now() - beganMs) / 1_000),
    p50Ms: percentile(tookMs, 50),
    p99Ms: percentile(tookMs, 99),
    answers: tookMs.length,
    failures,
  }),
)
await Promise.all(pools.map((pool) => pool.close()))

async function ask(nth: number): Promise<void> {
  const fromMs = performance.now()
  const pool = pools[nth % pools.length]
  const path = paths[nth % paths.length] ?? '/'
  try {
    const answer = await pool?.request({ path, method: 'GET', headers: { authorization } })
    await answer?.body.dump()
    if (answer?.statusCode === 200) tookMs.push(performance.now() - fromMs)
    else failures += 1
  } catch {
    failures += 1
  }
}
