import { setTimeout as delay } from 'node:timers/promises'
import { Agent, request } from 'undici'
import type { Figure } from '../figures.ts'
import { type Measured, pacedLoad } from '../load.ts'
import { startBroker } from '../servers.ts'
import { makeWorld, pathsOf, sibling } from '../world.ts'
import type { Part } from './part.ts'

const ACCOUNTS = 100
const SCRAPES = 400
const PAUSE_MS = 5_000
const READS_PER_SECOND = 150
const SECONDS = 15
/** The objective of docs/operations.md for reads from memory. */
const MAX_P99_MS = 10

/** Reads at a constant rate while hundreds scrape the metrics at the same moment. */
export const scrapes: Part = {
  name: 'scrapes',
  title: `${READS_PER_SECOND} reads a second while ${SCRAPES} scrape /metrics at once, every ${PAUSE_MS / 1_000} s`,
  async run(scope, bench) {
    const { rounds, say } = bench
    const world = await makeWorld(scope, { ...bench, accounts: ACCOUNTS })
    const { origin } = await startBroker(scope, world)
    const authorization = await sibling(world, origin)
    const aim = { paths: pathsOf(world.subjects), authorization }
    const load = { origins: [origin], rate: READS_PER_SECOND, seconds: SECONDS }
    // A read that fails is an error here.
    const read = () => pacedLoad(aim, load)
    const agent = new Agent({ connections: SCRAPES })
    scope.teardown(() => agent.close())
    await read()
    const calm: Measured[] = []
    const scraped: Measured[] = []
    const slowestMs: number[] = []
    for (let round = 0; round < rounds; round += 1) {
      calm.push(await read())
      const over = new AbortController()
      const scraping = scrapeUntil(origin, agent, over.signal, slowestMs)
      scraped.push(await read())
      over.abort()
      await scraping
      const p99 = (at: Measured[]) => at.at(-1)?.p99Ms.toFixed(1)
      say(`  round ${round + 1}: p99 ${p99(calm)} ms, with scrapes ${p99(scraped)} ms`)
    }
    const figures: Figure[] = [
      {
        name: 'p99 of reads while scraped, no read failed',
        values: scraped.map(({ p99Ms }) => p99Ms),
        unit: ' ms',
        target: { is: 'at most', value: MAX_P99_MS },
      },
      { name: 'p99 of reads otherwise', values: calm.map(({ p99Ms }) => p99Ms), unit: ' ms' },
      { name: `slowest of ${SCRAPES} scrapes`, values: slowestMs, unit: ' ms' },
    ]
    return figures
  },
}

async function scrapeUntil(
  origin: string,
  dispatcher: Agent,
  signal: AbortSignal,
  slowestMs: number[],
): Promise<void> {
  while (!signal.aborted) {
    const beganMs = performance.now()
    await Promise.all(
      Array.from({ length: SCRAPES }, async () => {
        const { statusCode, body } = await request(`${origin}/metrics`, { dispatcher })
        await body.dump()
        if (statusCode !== 200) throw new Error(`/metrics: ${statusCode}`)
      }),
    )
    slowestMs.push(performance.now() - beganMs)
    await delay(PAUSE_MS, undefined, { signal }).catch(() => {})
  }
}
