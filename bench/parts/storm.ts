import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import { type Measured, pacedLoad } from '../load.ts'
import { startBroker } from '../servers.ts'
import { INTEGRATION, makeWorld, pathsOf, sibling, type World } from '../world.ts'
import type { Bench, Part } from './part.ts'

const ACCOUNTS = 10_000
const READERS = 100
const REPLICAS = 3
const PACE_PER_SECOND = 50
const PROVIDER_MS = 200
const READS_PER_SECOND = 150
/** Duration and number of the measurements of tail latency, without other work and in the storm. */
const SLICE_SECONDS = 20
const SLICES = 5
const LIMIT_MS = 15 * 60_000

/**
 * Makes everything due at once, as after a long outage. The provider is slow, and the pace bounds
 * the storm.
 */
export const storm: Part = {
  name: 'storm',
  title: `${ACCOUNTS.toLocaleString('en')} accounts due at once, ${REPLICAS} replicas, a provider that takes ${PROVIDER_MS} ms, ${PACE_PER_SECOND} refreshes a second, ${READS_PER_SECOND} reads a second of ${READERS} other accounts`,
  async run(scope, bench) {
    bench.say(`  a database with ${ACCOUNTS.toLocaleString('en')} accounts`)
    const accounts = READERS + ACCOUNTS
    const world = await makeWorld(scope, { ...bench, accounts, pacePerSecond: PACE_PER_SECOND })
    world.sandbox.world.faults.set([
      { fault: 'delay_before_spend', endpoint: 'token', delay_ms: PROVIDER_MS },
    ])
    const origins: string[] = []
    for (let nth = 0; nth < REPLICAS; nth += 1) {
      origins.push((await startBroker(scope, world)).origin)
    }
    const paths = pathsOf(world.subjects.slice(0, READERS))
    const authorization = await sibling(world, origins[0] ?? '')
    const read = () =>
      pacedLoad(
        { paths, authorization },
        { origins, rate: READS_PER_SECOND, seconds: SLICE_SECONDS },
      )
    await read()
    const calm: Measured[] = []
    for (let slice = 0; slice < SLICES; slice += 1) calm.push(await read())
    bench.say(`  calm: p99 ${calm.map(({ p99Ms }) => p99Ms.toFixed(2)).join(', ')} ms`)

    const beganMs = performance.now()
    await makeDue(world)
    const ended = untilRefreshed(world, bench)
    const stormy: Measured[] = []
    for (let slice = 0; slice < SLICES; slice += 1) stormy.push(await read())
    bench.say(`  storm: p99 ${stormy.map(({ p99Ms }) => p99Ms.toFixed(2)).join(', ')} ms`)
    const tookSeconds = ((await ended) - beganMs) / 1_000
    // Superfluous sends would arrive within this time.
    await delay(2_000)
    const { refreshes, tokenCalls, reusedRefreshTokens } = world.sandbox.world.books.totals
    const idealSeconds = ACCOUNTS / PACE_PER_SECOND
    const p99 = (slices: Measured[]) => slices.map(({ p99Ms }) => p99Ms)
    const inCalm = p99(calm)
    return [
      {
        name: 'refreshes ÷ accounts',
        values: [refreshes / ACCOUNTS],
        target: { is: 'exactly', value: 1 },
      },
      { name: 'calls of the token endpoint', values: [tokenCalls] },
      {
        name: 'refresh tokens used twice',
        values: [reusedRefreshTokens],
        target: { is: 'exactly', value: 0 },
      },
      {
        name: `time ÷ ideal of ${idealSeconds} s`,
        values: [tookSeconds / idealSeconds],
        target: { is: 'at most', value: 1.3 },
      },
      {
        name: 'p99 of reads ÷ p99 without storm',
        values: p99(stormy).map((ms, slice) => ms / (inCalm[slice] ?? Number.NaN)),
        target: { is: 'at most', value: 1.5 },
      },
      { name: 'p99 of reads without storm', values: inCalm, unit: ' ms' },
      { name: 'p99 of reads in the storm', values: p99(stormy), unit: ' ms' },
    ]
  },
}

async function makeDue({ vault, subjects }: World): Promise<void> {
  const first = subjects[READERS]?.accountId ?? 0
  await sql`
    update amo_tokens set "refreshAt" = now(), "nextAttemptAt" = now()
    where integration = ${INTEGRATION} and "accountId" >= ${first}
  `.execute(vault.db)
}

/** Resolves with `performance.now()` when the last refresh was committed. */
async function untilRefreshed({ vault: { db } }: World, { say }: Bench): Promise<number> {
  const beganMs = performance.now()
  for (let told = 0; ; ) {
    const { rows } = await sql<{ done: number }>`
      select count(*)::int as done from amo_refresh_attempts where outcome = 'committed'
    `.execute(db)
    const done = rows[0]?.done ?? 0
    const nowMs = performance.now()
    if (done >= ACCOUNTS) return nowMs
    if (nowMs - beganMs > LIMIT_MS)
      throw new Error(`${done} of ${ACCOUNTS} refreshed, then no more`)
    const quarter = Math.floor((done / ACCOUNTS) * 4)
    if (quarter > told) say(`  ${done} refreshed after ${Math.round((nowMs - beganMs) / 1_000)} s`)
    told = quarter
    await delay(250)
  }
}
