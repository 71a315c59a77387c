import pg from 'pg'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { AccountCounts } from '../src/accounts/account-counts.ts'
import { countByStatus } from '../src/accounts/store.ts'
import { openPostgres } from '../src/db/postgres.ts'
import { Secret } from '../src/vault/secret.ts'
import { insertAccounts, insertIntegrations } from './support/account-rows.ts'
import { createDatabase, query } from './support/database.ts'

async function open(t: Test) {
  const databaseUrl = await createDatabase(t)
  await insertIntegrations(databaseUrl, 'amocrm', 'kommo')
  const url = new Secret(databaseUrl)
  const database = openPostgres(url, url, pino({ level: 'silent' }))
  t.teardown(() => database.close())
  const counted = () =>
    query(databaseUrl, 'select *, accounts::int from amo_account_counts order by 1, 2')
  const found = () =>
    query(
      databaseUrl,
      'select integration, status, count(*)::int as accounts from amo_tokens group by 1, 2 order by 1, 2',
    )
  const changes = async () =>
    (await query(databaseUrl, 'select count(*)::int as n from amo_account_changes'))[0]?.n
  const client = async () => {
    const session = new pg.Client({ connectionString: databaseUrl })
    await session.connect()
    t.teardown(() => session.end())
    return session
  }
  return { databaseUrl, database, counted, found, changes, client }
}

t.test('amo_account_counts: right after every kind of change', async (t) => {
  const { databaseUrl, counted, found, changes, database } = await open(t)
  const counts = new AccountCounts(database)
  t.same(await counted(), [])
  await insertAccounts(databaseUrl, 5_000)
  t.equal(await changes(), 1, 'an import of any size adds one row')
  await insertAccounts(databaseUrl, 10, { integration: `'kommo'`, status: `'pending'` }, 7_000_000)
  const check = async (t: Test, statement: string) => {
    await query(databaseUrl, statement)
    t.same(await counted(), await found(), statement)
  }
  await check(t, `update amo_tokens set status = 'reauth_required' where "accountId" % 3 = 0`)
  await check(t, `update amo_tokens set integration = 'kommo' where "accountId" % 7 = 0`)
  await check(t, `delete from amo_tokens where "accountId" % 5 = 0`)
  await check(
    t,
    `insert into amo_tokens select * from amo_tokens on conflict (integration, "accountId")
     do update set status = 'disconnected'`,
  )
  const before = await changes()
  await check(
    t,
    `update amo_tokens set "nextAttemptAt" = now(), generation = generation + 10000000`,
  )
  t.equal(await changes(), before, 'a refresh adds nothing')
  await counts.run()
  t.equal(await changes(), (await counted()).length, 'folded to one row each')
  t.same(await counted(), await found())
  await check(t, 'truncate amo_tokens cascade')
  t.same(await counted(), [])
  await counts.run()
  t.equal(await changes(), 0)
})

t.test('amo_account_counts: a change rolled back leaves nothing', async (t) => {
  const { databaseUrl, counted, client } = await open(t)
  await insertAccounts(databaseUrl, 3)
  const session = await client()
  await session.query('begin')
  await session.query(`update amo_tokens set status = 'pending'`)
  await session.query('rollback')
  t.match(await counted(), [{ status: 'active', accounts: 3 }])
})

t.test('amo_account_counts: writers neither wait for each other nor for the fold', async (t) => {
  const { databaseUrl, database, counted, found, client } = await open(t)
  const counts = new AccountCounts(database)
  await insertAccounts(databaseUrl, 40)
  const [one, two] = [await client(), await client()]
  for (const session of [one, two]) await session.query(`set lock_timeout = '10s'; begin`)
  const change = (id: number, status: string) =>
    `update amo_tokens set status = '${status}' where "accountId" = ${1_000_000 + id}`
  // Both change the same two counts in opposite orders. One row a count would be a deadlock.
  await one.query(change(1, 'pending'))
  await two.query(change(2, 'disconnected'))
  await counts.run()
  await one.query(change(3, 'disconnected'))
  await two.query(change(4, 'pending'))
  await counts.run()
  for (const session of [one, two]) await session.query('commit')
  t.same(await counted(), await found())

  const writers = Array.from({ length: 6 }, async (_, nth) => {
    const session = await client()
    for (let round = 0; round < 30; round += 1) {
      const status = round % 2 === 0 ? 'reauth_required' : 'active'
      await session.query(change(5 + nth, status))
      if (round % 10 === 9) {
        await session.query(`delete from amo_tokens where "accountId" = ${1_000_020 + nth}`)
      }
    }
  })
  const folding = { is: true }
  const folder = (async () => {
    while (folding.is) await counts.run()
  })()
  await Promise.all(writers)
  folding.is = false
  await folder
  t.same(await counted(), await found())
})

t.test('amo_account_counts: a recount corrects what no trigger saw', async (t) => {
  const { databaseUrl, database, counted, found } = await open(t)
  await insertAccounts(databaseUrl, 20)
  await query(databaseUrl, 'alter table amo_tokens disable trigger user')
  await query(databaseUrl, `update amo_tokens set status = 'pending' where "accountId" % 2 = 0`)
  await query(databaseUrl, 'delete from amo_tokens where "accountId" % 3 = 0')
  await query(databaseUrl, 'alter table amo_tokens enable trigger user')
  t.notSame(await counted(), await found())
  let nowMs = 0
  const counts = new AccountCounts(database, () => nowMs)
  await counts.run()
  t.same(await counted(), await found(), 'at the start')
  await query(databaseUrl, 'delete from amo_account_changes')
  nowMs += 23 * 3600 * 1000
  await counts.run()
  t.same(await counted(), [], 'not more often than once a day')
  nowMs += 2 * 3600 * 1000
  await counts.run()
  t.same(await counted(), await found(), 'once a day')
})

t.test('countByStatus: how late the latest refresh is', async (t) => {
  const { databaseUrl, database } = await open(t)
  const late = { '"nextAttemptAt"': `now() - interval '1 hour'` }
  await insertAccounts(databaseUrl, 1, late, 1)
  await insertAccounts(databaseUrl, 1, {}, 2)
  await insertAccounts(databaseUrl, 1, { ...late, paused: 'true', integration: `'kommo'` }, 3)
  await insertAccounts(databaseUrl, 1, { ...late, status: `'reauth_required'` }, 4)
  t.match(await countByStatus(database.db), [
    { integration: 'amocrm', status: 'active', accounts: 2, overdueSeconds: /^36\d\d/ },
    { integration: 'amocrm', status: 'reauth_required', accounts: 1, overdueSeconds: 0 },
    { integration: 'kommo', status: 'active', accounts: 1, overdueSeconds: 0 },
  ])
})

t.test('amo_tokens.statusSince: changes with the status only', async (t) => {
  const { databaseUrl } = await open(t)
  await insertAccounts(databaseUrl, 1)
  const since = async () =>
    (await query<{ at: Date }>(databaseUrl, 'select "statusSince" as at from amo_tokens'))[0]?.at
  const created = await since()
  await query(databaseUrl, `update amo_tokens set "lastErrorCode" = 'x', status = 'active'`)
  t.same(await since(), created)
  await query(databaseUrl, `update amo_tokens set status = 'disconnected'`)
  t.ok(Number(await since()) > Number(created))
})
