import t from 'tap'
import { until } from './support/broker.ts'
import { query } from './support/database.ts'
import { fleetOf, makeAllDue } from './support/fleet.ts'

const ENV = { PACE_PER_SECOND: '50' }

async function count(databaseUrl: string, which: string): Promise<number> {
  const [row] = await query<{ count: number }>(
    databaseUrl,
    `select count(*)::int from amo_refresh_attempts where ${which}`,
  )
  return row?.count ?? 0
}

t.test('what one look claims is sent over the time until the next', async (t) => {
  const { databaseUrl, start } = await fleetOf(t, 40)
  await start(ENV)
  await makeAllDue(databaseUrl)
  await until(async () => (await count(databaseUrl, `outcome = 'committed'`)) === 40)
  const [look = { claims: 0, ms: 0 }] = await query<{ claims: number; ms: number }>(
    databaseUrl,
    // The claims of one look are of one statement, milliseconds apart.
    `select count(*)::int as claims, extract(epoch from max("sentAt") - min("sentAt"))::float * 1000 as ms
     from amo_refresh_attempts group by floor(extract(epoch from "claimedAt") * 10) order by claims desc limit 1`,
  )
  t.ok(look.claims >= 10, `${look.claims} claims in one look`)
  t.ok(look.ms >= 250, `sent over ${look.ms} ms`)
})

t.test('SIGTERM while claims wait for their turn: they are given back', async (t) => {
  const { databaseUrl, start } = await fleetOf(t, 40)
  const broker = await start(ENV)
  await makeAllDue(databaseUrl)
  await until(async () => (await count(databaseUrl, 'true')) >= 10)
  t.equal(await broker.stop('SIGTERM'), 0)
  t.equal(await count(databaseUrl, '"finishedAt" is null'), 0, 'nobody has to wait for a lease')
  t.ok(
    (await count(databaseUrl, `outcome = 'not_sent' and "sentAt" is null`)) > 0,
    'some had not been sent',
  )
})
