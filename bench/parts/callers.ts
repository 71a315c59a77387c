import { sql } from 'kysely'
import type { Scope } from '../../test/support/scope.ts'
import type { Figure } from '../figures.ts'
import { type Burst, burst } from '../load.ts'
import { startBroker, startSide } from '../servers.ts'
import { makeWorld, pathsOf, sibling, type World } from '../world.ts'
import type { Bench, Part } from './part.ts'

const CALLERS = 1_000
const PROVIDER_MS = 200

/** An account that nobody asked for in a while has expired, and everybody wants it at the same moment. */
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
    const figures: Figure[] = [await bareFigure(scope, bench, await answer.text())]
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
        // The first one warms up.
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
          target: { is: 'at most', value: 100 },
        },
      )
    }
    return figures
  },
}

/** What it takes to answer so many callers at once with a constant: the load's own time, and that of the sockets. */
async function bareFigure(
  scope: Scope,
  { folder, rounds }: Bench,
  constant: string,
): Promise<Figure> {
  const { origin } = await startSide(scope, folder, 'bare', { BODY: constant })
  const order = { origins: [origin], path: '/tokens/any', authorization: '', callers: CALLERS }
  const values: number[] = []
  for (let round = 0; round <= rounds; round += 1) {
    const { slowestMs } = await burst(order)
    // The first one warms up.
    if (round > 0) values.push(slowestMs)
  }
  return { name: 'the bare server, which waits for nobody: slowest caller', values, unit: ' ms' }
}

function describe({ answers }: Burst): string {
  return Object.entries(answers)
    .map(([what, times]) => `${times} × ${what}`)
    .join(', ')
}

/** For its callers alone: the scheduler does not come before them. */
async function expire({ vault, subjects }: World, nth: number): Promise<void> {
  await sql`
    update amo_tokens set "expiresAt" = now() - interval '1 minute', "refreshAt" = now() - interval '1 hour',
      "nextAttemptAt" = now() + interval '1 hour'
    where "accountId" = ${subjects[nth]?.accountId ?? 0}
  `.execute(vault.db)
}
