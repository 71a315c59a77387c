import { sql } from 'kysely'
import type { TeardownScope } from '../../test/support/teardown-scope.ts'
import { type Figure, median } from '../figures.ts'
import { type Burst, burst } from '../load.ts'
import { startBroker, startSide } from '../servers.ts'
import { makeWorld, pathsOf, sibling, type World } from '../world.ts'
import type { Bench, Part } from './part.ts'

const CALLERS = 1_000
const PROVIDER_MS = 200
/** How much longer than the bare server the slowest caller may wait, without the provider. */
const MORE_THAN_BARE_MS = 30

/** Measures many callers that ask for one expired account at the same moment. */
export const callers: Part = {
  name: 'callers',
  title: `${CALLERS.toLocaleString('en')} callers at once on one expired account, a provider that takes ${PROVIDER_MS} ms`,
  async run(scope, bench) {
    const replicas = [1, 3]
    const accounts = (bench.rounds + 1) * replicas.length
    const world = await makeWorld(scope, { ...bench, accounts, pacePerSecond: 100 })
    world.sandbox.world.faults.set([
      { fault: 'delay_before_spend', endpoint: 'token', delay_ms: PROVIDER_MS },
    ])
    const origins: string[] = []
    for (const _ of [1, 2, 3]) origins.push((await startBroker(scope, world)).origin)
    const authorization = await sibling(world, origins[0] ?? '')
    const paths = pathsOf(world.subjects)
    const answer = await fetch(`${origins[0]}${paths.at(-1)}`, { headers: { authorization } })
    const bare = await bareFigure(scope, bench, await answer.text())
    const figures: Figure[] = [bare]
    for (const [turn, count] of replicas.entries()) {
      const calls: number[] = []
      const slowest: number[] = []
      for (let round = 0; round <= bench.rounds; round += 1) {
        const nth = turn * (bench.rounds + 1) + round
        await expire(world, nth)
        const before = world.sandbox.world.books.totals.tokenCalls
        const aim = { path: paths[nth] ?? '', authorization, origins: origins.slice(0, count) }
        const result = await burst({ ...aim, callers: CALLERS })
        bench.say(
          `  ${count} replicas: slowest ${result.slowestMs.toFixed(0)} ms, ${describe(result)}`,
        )
        // The first round warms up.
        if (round === 0) continue
        calls.push(world.sandbox.world.books.totals.tokenCalls - before)
        slowest.push(result.slowestMs - PROVIDER_MS)
      }
      const by = `${count} replica${count === 1 ? '' : 's'}`
      figures.push(
        {
          name: `${by}: calls to the provider`,
          values: calls,
          target: { is: 'exactly', value: 1 },
        },
        {
          name: `${by}: slowest caller − the provider’s time`,
          values: slowest,
          unit: ' ms',
          target: { is: 'at most', value: median(bare.values) + MORE_THAN_BARE_MS },
        },
      )
    }
    return figures
  },
}

/**
 * Measures a constant response to as many callers: the time of the load process and of the sockets.
 */
async function bareFigure(
  scope: TeardownScope,
  { folder, rounds }: Bench,
  constant: string,
): Promise<Figure> {
  const { origin } = await startSide(scope, folder, 'bare', { BODY: constant })
  const order = { origins: [origin], path: '/tokens/any', authorization: '', callers: CALLERS }
  const values: number[] = []
  for (let round = 0; round <= rounds; round += 1) {
    const { slowestMs } = await burst(order)
    // The first round warms up.
    if (round > 0) values.push(slowestMs)
  }
  return { name: 'the bare server, without a refresh: slowest caller', values, unit: ' ms' }
}

function describe({ answers }: Burst): string {
  return Object.entries(answers)
    .map(([what, times]) => `${times} × ${what}`)
    .join(', ')
}

/**
 * Expires an account and postpones its next attempt, so that a caller refreshes it before the
 * scheduler.
 */
async function expire({ vault, subjects }: World, nth: number): Promise<void> {
  await sql`
    update amo_tokens set "expiresAt" = now() - interval '1 minute', "refreshAt" = now() - interval '1 hour',
      "nextAttemptAt" = now() + interval '1 hour'
    where "accountId" = ${subjects[nth]?.accountId ?? 0}
  `.execute(vault.db)
}
