import { sql } from 'kysely'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { openPostgres } from '../src/db/postgres.ts'
import { Secret } from '../src/vault/secret.ts'
import { startBroker, until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { createDatabase, query } from './support/database.ts'
import { findPgBouncer, startPgBouncer } from './support/pgbouncer.ts'
import { startProxy } from './support/proxy.ts'

const bouncer = findPgBouncer()
const skip = bouncer === undefined && 'pgbouncer is not installed: apt-get install pgbouncer'

/** Starts a broker that must end by itself. Returns its log. */
async function refusedStart(t: Test, databaseUrl: string): Promise<string> {
  const broker = await startBroker(t, {
    databaseUrl,
    deploymentId: 'pooled',
    redis: null,
    ownProcess: true,
    isReady: (log) => log.length > 0,
  })
  await until(() => broker.process.exitCode !== null)
  t.equal(broker.process.exitCode, 1)
  return broker.log()
}

t.test('PgBouncer: refreshes, and changes are heard at once', { skip }, async (t) => {
  for (const mode of ['session', 'transaction'] as const) {
    const databaseUrl = await createDatabase(t)
    const { broker, makeDue, row } = await startBrokerWithSandbox(t, {
      databaseUrl: await startPgBouncer(t, bouncer ?? '', databaseUrl, mode),
      deploymentId: 'pooled',
      redis: null,
      env: mode === 'session' ? {} : { DATABASE_DIRECT_URL: databaseUrl },
    })
    await until(async () => (await broker.get('/health/ready')).body.status === 'ok')
    const before = (await broker.get('/tokens/demo')).body.generation
    await makeDue()
    await until(async () => ((await row()).generation as number) > before)
    await until(async () => (await broker.get('/tokens/demo')).body.generation > before)
    t.notMatch(broker.log(), /"level":50/, mode)
    await broker.stop()
  }
})

t.test('a transaction pooler alone is refused at the start', { skip }, async (t) => {
  const databaseUrl = await createDatabase(t)
  const pooled = await startPgBouncer(t, bouncer ?? '', databaseUrl, 'transaction')
  t.match(
    await refusedStart(t, pooled),
    /no notification arrives: .* transaction pooler\. Set DATA/,
  )
})

t.test('an engine without LISTEN is refused at the start', async (t) => {
  const proxy = await startProxy(t, await createDatabase(t))
  proxy.replace('listen ', 'lissen ')
  t.match(await refusedStart(t, proxy.url), /PostgreSQL refuses LISTEN \(42601\)/)
})

t.test('a LISTEN that has no connection yet is waited for', async (t) => {
  const databaseUrl = await createDatabase(t)
  const direct = await startProxy(t, databaseUrl)
  direct.set('hang')
  const broker = await startBroker(t, {
    databaseUrl,
    deploymentId: 'pooled',
    redis: null,
    env: { DATABASE_DIRECT_URL: direct.url },
  })
  t.match((await broker.get('/health/ready')).body.degraded, [/^listen:/])
  direct.set('pass')
  await until(async () => (await broker.get('/health/ready')).body.status === 'ok')
})

/** Opens the pools, without a broker. */
function openPools(t: Test, databaseUrl: string) {
  const url = new Secret(databaseUrl)
  const database = openPostgres(url, url, pino({ level: 'silent' }))
  t.teardown(() => database.close())
  return database
}

/** Finds itself among the prepared statements of its session, if it was prepared under a name. */
const ITSELF = {
  name: 'amo_itself',
  text: 'select name from pg_prepared_statements where name = $1',
}

t.test('a select is a named prepared statement where no pooler is in between', async (t) => {
  const database = openPools(t, await createDatabase(t))
  for (const time of ['first', 'second']) {
    t.same(await database.select(ITSELF, ['amo_itself']), [{ name: 'amo_itself' }], time)
  }
})

t.test('a select has no name behind PgBouncer', { skip }, async (t) => {
  for (const mode of ['session', 'transaction'] as const) {
    const databaseUrl = await createDatabase(t)
    const database = openPools(t, await startPgBouncer(t, bouncer ?? '', databaseUrl, mode))
    const many = Array.from({ length: 20 }, () => database.select(ITSELF, ['amo_itself']))
    t.same(await Promise.all(many), Array(20).fill([]), mode)
  }
})

t.test('a select goes on after a migration that changes its result type', async (t) => {
  const databaseUrl = await createDatabase(t)
  const database = openPools(t, databaseUrl)
  await query(databaseUrl, 'create table amo_sample as select 1 as value')
  const statement = { name: 'amo_sample', text: 'select value from amo_sample where $1::int = 1' }
  t.same(await database.select(statement, [1]), [{ value: 1 }])
  await query(databaseUrl, 'alter table amo_sample alter value type text')
  t.same(await database.select(statement, [1]), [{ value: '1' }])
  t.same(await database.select(ITSELF, ['amo_itself']), [{ name: 'amo_itself' }], 'still named')
})

t.test('a select goes on without a name after a session lost its statements', async (t) => {
  const database = openPools(t, await createDatabase(t))
  await database.select(ITSELF, ['amo_itself'])
  await sql`deallocate all`.execute(database.reads)
  t.same(await database.select(ITSELF, ['amo_itself']), [])
  t.same(await database.select(ITSELF, ['amo_itself']), [])
})
