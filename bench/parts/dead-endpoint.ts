import { sql } from 'kysely'
import { ratios } from '../figures.ts'
import { playRounds, tail, throughput } from '../rounds.ts'
import { startBroker } from '../servers.ts'
import { makeWorld, pathsOf, sibling, type World } from '../world.ts'
import type { Part } from './part.ts'

const ACCOUNTS = 100
const EVENTS = 10_000
/** Nothing listens there. */
const DEAD = 'http://127.0.0.1:1/hook'

/** Compares reads with and without a dead endpoint that thousands of events wait for. */
export const deadEndpoint: Part = {
  name: 'dead-endpoint',
  title: `Reads while ${EVENTS.toLocaleString('en')} events wait for a dead endpoint`,
  async run(scope, bench) {
    const sides = {
      quiet: await makeWorld(scope, { ...bench, accounts: ACCOUNTS }),
      dead: await makeWorld(scope, { ...bench, accounts: ACCOUNTS }),
    }
    const aims = await Promise.all(
      Object.entries(sides).map(async ([side, world]) => {
        const { origin } = await startBroker(scope, world, { ENDPOINTS_ALLOW_PRIVATE: 'true' })
        const authorization = await sibling(world, origin)
        if (side === 'dead') await sendToDead(world, origin)
        return [side, { origin, paths: pathsOf(world.subjects), authorization }] as const
      }),
    )
    const measured = await playRounds(bench, Object.fromEntries(aims))
    const { attempts, waiting } = await countAttempts(sides.dead)
    bench.say(`  ${attempts} attempts failed, ${waiting} messages wait`)
    return [
      {
        name: 'hit with a dead endpoint ÷ hit without, requests per second',
        values: ratios(throughput(measured, 'dead'), throughput(measured, 'quiet')),
        target: { is: 'at least', value: 0.95 },
      },
      {
        name: 'hit with a dead endpoint ÷ hit without, p99 latency',
        values: ratios(tail(measured, 'dead'), tail(measured, 'quiet')),
        target: { is: 'at most', value: 1.2 },
      },
      { name: 'messages that wait', values: [waiting] },
      { name: 'attempts that failed', values: [attempts] },
    ]
  },
}

async function sendToDead(world: World, origin: string): Promise<void> {
  const response = await fetch(`${origin}/endpoints`, {
    method: 'POST',
    headers: { authorization: `Bearer ${world.operatorKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'dead', kind: 'webhook', url: DEAD }),
  })
  if (response.status !== 201) throw new Error(`no endpoint: ${await response.text()}`)
  await sql`
    insert into amo_events (type, integration, "accountId", state)
    select 'account.connected', 'amocrm', n, 'active' from generate_series(1, ${EVENTS}) n
  `.execute(world.vault.db)
  while ((await countAttempts(world)).waiting < EVENTS) {
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

async function countAttempts({ vault }: World): Promise<{ attempts: number; waiting: number }> {
  const { rows } = await sql<{ attempts: number; waiting: number }>`
    select coalesce(sum(attempts), 0)::int as attempts, count(*)::int as waiting
    from amo_deliveries where state = 'pending'
  `.execute(vault.db)
  return rows[0] ?? { attempts: 0, waiting: 0 }
}
