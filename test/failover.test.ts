import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { connectAccount, until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { query } from './support/database.ts'
import { startProxy } from './support/proxy.ts'
import { PostgresServer } from './torture/postgres-server.ts'

const ACCOUNTS = ['demo', 'second', 'third']
const LIMIT_MS = 5_000

t.test('a standby is promoted behind the address, old sessions stay open', async (t) => {
  const primary = await PostgresServer.start(t)
  const databaseUrl = await primary.createDatabase('broker')
  const standby = await PostgresServer.startStandby(t, primary.url)
  const proxy = await startProxy(t, databaseUrl)
  const { broker } = await startBrokerWithSandbox(t, {
    databaseUrl: proxy.url,
    deploymentId: 'failover',
    redis: null,
    connect: false,
    sandbox: {
      accounts: ACCOUNTS.map((subdomain) => ({ platform: 'amocrm' as const, subdomain })),
    },
  })
  for (const account of ACCOUNTS) await connectAccount(broker, account)
  const generations = await readAll()
  await standby.catchUp(primary)

  // The old primary is not ended: its sessions can still be written to.
  proxy.leadNewTo(standby.url)
  await standby.promote()
  const present = new URL(databaseUrl)
  present.port = new URL(standby.url).port
  await until(async () => {
    const [row] = await query<{ ends: boolean }>(
      present.href,
      'select not pg_is_in_recovery() as ends',
    )
    return row?.ends
  })
  const beganMs = performance.now()
  await until(async () => {
    const [row] = await query<{ beats: number }>(
      present.href,
      `select count(*)::int as beats from amo_replicas where "beatAt" > now() - interval '1 second'`,
    )
    return row?.beats === 1
  }, LIMIT_MS)
  await query(present.href, `update amo_tokens set "refreshAt" = now(), "nextAttemptAt" = now()`)
  for (const [nth, account] of ACCOUNTS.entries()) {
    await until(async () => {
      const { status, body } = await broker.get(`/tokens/${account}`)
      return status === 200 && body.generation > (generations[nth] ?? 0) && body.use_for > 0
    }, LIMIT_MS)
  }
  t.comment(
    `served and refreshed ${Math.round(performance.now() - beganMs)} ms after the promotion`,
  )
  const kept = await query<{ generation: number }>(
    present.href,
    'select generation::float8 from amo_tokens order by 1',
  )
  t.same(
    kept.map(({ generation }) => generation),
    (await readAll()).sort((a, b) => a - b),
  )
  t.match(broker.log(), /PostgreSQL was failed over/)
  const { body } = await broker.get('/health/ready')
  // An asynchronous standby may lack the newest audit rows. The sealer reports that they are gone.
  const found = body.degraded.filter((each: string) => !each.startsWith('audit:'))
  t.same(found, [], 'the storage is healthy again')

  async function readAll(): Promise<number[]> {
    const read = async (account: string) => (await broker.get(`/tokens/${account}`)).body.generation
    return Promise.all(ACCOUNTS.map(read))
  }
})

t.test('a failover that forgets audit rows is not taken for tampering', async (t) => {
  const primary = await PostgresServer.start(t)
  const databaseUrl = await primary.createDatabase('broker')
  const replication = await startProxy(t, primary.url)
  const standby = await PostgresServer.startStandby(t, replication.url)
  const proxy = await startProxy(t, databaseUrl)
  const { broker } = await startBrokerWithSandbox(t, {
    databaseUrl: proxy.url,
    deploymentId: 'failover',
    redis: null,
  })
  const sealed = async (url: string) => {
    const [row] = await query<{ seq: number }>(url, 'select max(seq)::int as seq from amo_audit')
    return row?.seq ?? 0
  }
  await until(async () => (await sealed(databaseUrl)) > 0)
  await standby.catchUp(primary)
  const before = await sealed(databaseUrl)
  replication.set('hang')
  await broker.post('/accounts/demo/pause', undefined)
  await broker.post('/accounts/demo/resume', undefined)
  await until(async () => (await sealed(databaseUrl)) > before)
  const head = () => Number(readFileSync(join(broker.dataDir, 'audit-head'), 'utf8').split(' ')[0])
  await until(() => head() > before)
  await primary.crash()
  await standby.promote()
  proxy.leadTo(standby.url)
  const present = new URL(databaseUrl)
  present.port = new URL(standby.url).port
  const degraded = async () => (await broker.get('/health/ready')).body.degraded.join()
  await until(async () => /audit: rows up to \d+ are missing since/.test(await degraded()))
  t.notMatch(broker.log() + (await degraded()), /tampered/)
  await until(
    async () => {
      const [seq, mac] = readFileSync(join(broker.dataDir, 'audit-head'), 'utf8').split(/\s/)
      const [row] = await query(present.href, 'select mac from amo_audit where seq = $1', [seq])
      return row?.mac === mac
    },
    LIMIT_MS,
    () => `the chain goes on: ${head()}`,
  )
})

t.test('the address leads to a standby: tokens are stale, until the primary is back', async (t) => {
  const primary = await PostgresServer.start(t)
  const databaseUrl = await primary.createDatabase('broker')
  const standby = await PostgresServer.startStandby(t, primary.url)
  const proxy = await startProxy(t, databaseUrl)
  const { broker } = await startBrokerWithSandbox(t, {
    databaseUrl: proxy.url,
    deploymentId: 'failover',
    redis: null,
  })
  await broker.get('/tokens/demo')
  await standby.catchUp(primary)
  proxy.leadTo(standby.url)
  await until(async () =>
    /in recovery/.test((await broker.get('/health/ready')).body.degraded.join()),
  )
  const { status, body } = await broker.get('/tokens/demo')
  t.match({ status, ...body }, { status: 200, stale: true, use_for: 0 })
  t.equal((await broker.post('/tokens/demo/refresh', { force: true })).status, 503)
  proxy.leadTo(primary.url)
  await until(async () => (await broker.get('/tokens/demo')).body.stale === undefined, LIMIT_MS)
})
