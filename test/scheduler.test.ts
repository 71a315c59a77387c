import t from 'tap'
import type { Claim } from '../src/claims/claim.ts'
import { Scheduler } from '../src/refresh/scheduler.ts'
import { until } from './support/broker.ts'
import { query } from './support/database.ts'
import { createDatabaseWithAccounts, makeAllDue } from './support/database-with-accounts.ts'
import { createLedger } from './support/engine.ts'

const POOL_SIZE = 2

t.test('no more is claimed than the pool can carry until its sends are recorded', async (t) => {
  const { claimContext, databaseUrl, addAccount } = await createLedger(t)
  for (let id = 1; id <= 30; id += 1) await addAccount({ integration: 'amocrm', accountId: id }, -1)
  await query(databaseUrl, `update amo_integrations set "pacePerSecond" = 100, "paceTokens" = 200`)
  const claims: Claim[] = []
  const provider = { integrations: { all: () => [{ name: 'amocrm', state: 'running' }] } }
  const refreshClaimed = (claim: Claim) => {
    claims.push(claim)
    return new Promise<void>(() => {})
  }
  const scheduler = new Scheduler({ claimContext, provider }, { refreshClaimed }, POOL_SIZE)
  await scheduler.run()
  await scheduler.run()
  const first = claims.length
  t.ok(first > 0 && first <= 4 * POOL_SIZE, `${first} claims wait for a connection`)
  for (const claim of claims) claim.sendCount = 1
  await scheduler.run()
  t.equal(claims.length, 2 * first, 'as many again once they were sent')
})

const ENV = { PACE_PER_SECOND: '50' }

async function count(databaseUrl: string, which: string): Promise<number> {
  const [row] = await query<{ count: number }>(
    databaseUrl,
    `select count(*)::int from amo_refresh_attempts where ${which}`,
  )
  return row?.count ?? 0
}

t.test('the claims of one round are sent over the time until the next round', async (t) => {
  const { databaseUrl, start } = await createDatabaseWithAccounts(t, 40)
  await start(ENV)
  await makeAllDue(databaseUrl)
  await until(async () => (await count(databaseUrl, `outcome = 'committed'`)) === 40)
  const [look = { claims: 0, ms: 0 }] = await query<{ claims: number; ms: number }>(
    databaseUrl,
    // One statement makes the claims of one round, so they are milliseconds apart.
    `select count(*)::int as claims, extract(epoch from max("sentAt") - min("sentAt"))::float * 1000 as ms
     from amo_refresh_attempts group by floor(extract(epoch from "claimedAt") * 10) order by claims desc limit 1`,
  )
  t.ok(look.claims >= 10, `${look.claims} claims in one look`)
  t.ok(look.ms >= 250, `sent over ${look.ms} ms`)
})

t.test('SIGTERM while claims wait to be sent: they are released', async (t) => {
  const { databaseUrl, start } = await createDatabaseWithAccounts(t, 40)
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
