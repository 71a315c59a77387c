import t from 'tap'
import { until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { createDatabase, query } from './support/database.ts'
import { startProxy } from './support/proxy.ts'

const LISTENERS = `select pid from pg_stat_activity where datname = current_database() and query like 'listen %'`

t.test('with echoes: reads are served from memory, without a query', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t)
  await until(async () => (await broker.get('/health/ready')).body.status === 'ok')
  await broker.get('/tokens/demo')
  // Changes the row without the trigger, so that the cache is not notified.
  await query(databaseUrl, `alter table amo_tokens disable trigger amo_tokens_notify`)
  await query(databaseUrl, `update amo_tokens set "expiresAt" = "expiresAt" + interval '7 days'`)
  const held = await broker.get('/tokens/demo')
  t.ok(held.body.expires_in <= 86_400, 'the answer is the held one')
  await query(databaseUrl, `alter table amo_tokens enable trigger amo_tokens_notify`)
  await query(databaseUrl, `update amo_tokens set "expiresAt" = "expiresAt" + interval '1 second'`)
  await until(async () => (await broker.get('/tokens/demo')).body.expires_in > 86_400)
  t.pass('a change through the trigger is heard of')
})

t.test('LISTEN hangs: the cache is not trusted, and LISTEN is restarted', async (t) => {
  const databaseUrl = await createDatabase(t)
  const listen = await startProxy(t, databaseUrl)
  const { broker } = await startBrokerWithSandbox(t, {
    databaseUrl,
    deploymentId: 'silent',
    env: { DATABASE_DIRECT_URL: listen.url, HEARTBEAT_MS: '500' },
  })
  await until(async () => (await broker.get('/health/ready')).body.status === 'ok')
  await broker.get('/tokens/demo')
  const [before] = await query(databaseUrl, LISTENERS)
  listen.set('hang')
  await until(async () => /listen/.test((await broker.get('/health/ready')).body.degraded.join()))
  await query(databaseUrl, `update amo_tokens set "expiresAt" = now() + interval '2 days'`)
  const { body } = await broker.get('/tokens/demo')
  t.ok(body.expires_in > 90_000, 'asked of PostgreSQL, not of a cache that may have missed it')
  t.equal(body.stale, undefined)
  await until(() => broker.log().includes('LISTEN was silent'))
  listen.set('pass')
  await until(async () => (await broker.get('/health/ready')).body.status === 'ok', 20_000)
  const [after] = await query(databaseUrl, LISTENERS)
  t.not(after?.pid, before?.pid, 'another connection listens')
})

t.test('LISTEN is cut: a change in the gap is not missed', async (t) => {
  const databaseUrl = await createDatabase(t)
  const listen = await startProxy(t, databaseUrl)
  const { broker } = await startBrokerWithSandbox(t, {
    databaseUrl,
    deploymentId: 'cut',
    env: { DATABASE_DIRECT_URL: listen.url },
  })
  await until(async () => (await broker.get('/health/ready')).body.status === 'ok')
  await broker.get('/tokens/demo')
  listen.set('refuse')
  await query(databaseUrl, `update amo_tokens set "expiresAt" = now() + interval '2 days'`)
  listen.set('pass')
  await until(async () => (await broker.get('/tokens/demo')).body.expires_in > 90_000, 20_000)
  t.pass('held tokens were asked for again')
})

t.test('a forged echo changes nothing', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t)
  await until(async () => (await broker.get('/health/ready')).body.status === 'ok')
  const [row] = await query(databaseUrl, 'select owner from amo_inbox')
  const channel = `amo_heartbeat_${row?.owner.replaceAll('-', '')}`
  for (const payload of ['x', '', 'NaN', '1e18', '-1']) {
    await query(databaseUrl, 'select pg_notify($1, $2)', [channel, payload])
  }
  await query(databaseUrl, `update amo_tokens set "expiresAt" = now() + interval '2 days'`)
  await until(async () => (await broker.get('/tokens/demo')).body.expires_in > 90_000)
  await until(async () => (await broker.get('/health/ready')).body.status === 'ok')
  t.pass('the true echoes count')
})
