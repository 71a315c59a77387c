import t, { type Test } from 'tap'
import { deploymentOf, startBroker, until } from './support/broker.ts'
import { type BrokerWithSandbox, startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { createDatabase, query, setReadOnly } from './support/database.ts'

async function untilDegraded({ broker }: Pick<BrokerWithSandbox, 'broker'>, pattern: RegExp) {
  await until(async () =>
    pattern.test((await broker.get('/health/ready')).body.degraded?.join() ?? ''),
  )
}

/** Moves the promise of the token into the past, on a session that may write. */
async function endPromise(url: string, expiresIn = '1 hour'): Promise<void> {
  await query(
    url,
    `begin; set transaction read write;
     update amo_tokens set "issuedAt" = now() - interval '10 hours', "refreshAt" = now(),
       "nextAttemptAt" = now() + interval '1 hour', "expiresAt" = now() + interval '${expiresIn}';
     commit`,
  )
}

t.test(
  'PostgreSQL read-only: tokens are served, writes are 503, one line in the log',
  async (t) => {
    const stage = await startBrokerWithSandbox(t)
    const { broker, databaseUrl } = stage
    await until(async () => (await broker.get('/health/ready')).body.status === 'ok')
    await broker.get('/tokens/demo')
    await setReadOnly(databaseUrl, true)
    await untilDegraded(stage, /read-only/)
    await endPromise(databaseUrl)

    await until(
      async () => (await broker.get('/tokens/demo')).body.use_for === 0,
      5_000,
      () => `no use_for 0:\n${broker.log().slice(-3_000)}`,
    )
    const { status, body } = await broker.get('/tokens/demo')
    t.equal(status, 200)
    t.match(body, { use_for: 0, warning: 'storage_read_only' })
    t.equal(body.stale, undefined, 'the primary has the newest token')

    const refused = [
      await broker.post('/connect-links', { integration: 'amocrm' }),
      await broker.post('/tokens/demo/refresh', { generation: body.generation }),
      await broker.post('/tokens/demo/refresh', { force: true }),
      await broker.post('/accounts/demo/pause', undefined),
      await broker.post('/clients', { name: 'x', role: 'reader', grants: [] }),
    ]
    for (const { status, headers, body } of refused) {
      t.match(
        { status, code: body.code },
        { status: 503, code: 'storage_unavailable' },
        body.detail,
      )
      t.ok(Number(headers.get('retry-after')) > 0, 'with Retry-After')
    }
    const ready = await broker.get('/health/ready')
    t.match(ready.body.degraded.join(), /postgres: read-only \(25006\).*primary/)
    const { body: metrics } = await broker.get('/metrics')
    t.match(metrics, /amo_storage_state\{state="read_only"\} 1/)

    await endPromise(databaseUrl, '-1 second')
    const expired = await until(async () => (await broker.get('/tokens/demo')).status === 503)
    t.equal(expired, undefined)
    t.equal((await broker.get('/tokens/demo')).body.code, 'storage_unavailable')

    await setReadOnly(databaseUrl, false)
    await query(
      databaseUrl,
      `begin; set transaction read write; update amo_tokens set "nextAttemptAt" = now(); commit`,
    )
    const beganMs = Date.now()
    await until(async () => (await broker.get('/tokens/demo')).status === 200, 5_000)
    t.comment(`recovered after ${Date.now() - beganMs} ms`)
    await until(async () => (await broker.get('/health/ready')).body.status === 'ok')
    const lines = broker.log().split('\n')
    const count = (text: string) => lines.filter((line) => line.includes(text)).length
    t.equal(count('storage is not writable'), 1, 'one line when it begins')
    t.equal(count('storage is writable again'), 1, 'one line when it ends')
    const warnings = lines.filter((line) => /"level":[456]0.*periodic work failed/.test(line))
    t.same(warnings, [], 'and no flood in between')
  },
)

t.test('start on a read-only database: it serves what it has, and recovers', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  const { databaseUrl, sandbox, broker: first } = stage
  await first.stop()
  await setReadOnly(databaseUrl, true)
  const ports = [Number(new URL(first.url).port), Number(new URL(first.publicUrl).port)] as const
  const { dataDir } = first
  const broker = await startBroker(t, { databaseUrl, sandbox, dataDir, ports: [...ports] })
  await untilDegraded({ broker }, /read-only/)
  t.equal((await broker.get('/tokens/demo')).status, 200)
  await setReadOnly(databaseUrl, false)
  await until(async () => (await broker.get('/health/ready')).body.status === 'ok', 5_000)
  const { body } = await broker.get('/tokens/demo')
  await query(databaseUrl, `update amo_tokens set "refreshAt" = now(), "nextAttemptAt" = now()`)
  await until(
    async () => (await broker.get('/tokens/demo')).body.generation > body.generation,
    5_000,
  )
})

/** A standalone broker in front of whose database the login can be refused. */
async function startWithRole(t: Test) {
  const databaseUrl = await createDatabase(t)
  const role = `${deploymentOf(databaseUrl)}_role`
  await query(databaseUrl, `create role ${role} superuser login password 'right'`)
  t.teardown(async () => {
    const admin = new URL(databaseUrl)
    admin.pathname = '/postgres'
    await query(admin.href, `drop role if exists ${role}`).catch(() => {})
  })
  const url = new URL(databaseUrl)
  url.username = role
  url.password = 'right'
  return { databaseUrl, role, url: url.href }
}

t.test('login refused while running: tokens in memory are served', async (t) => {
  const { databaseUrl, role, url } = await startWithRole(t)
  const { broker } = await startBrokerWithSandbox(t, { databaseUrl: url })
  t.equal((await broker.get('/tokens/demo')).status, 200)
  await query(databaseUrl, `alter role ${role} nologin`)
  await query(
    databaseUrl,
    `select pg_terminate_backend(pid) from pg_stat_activity where usename = $1`,
    [role],
  )
  await untilDegraded({ broker }, /postgres: does not answer \(28000\)/)
  const { status, body } = await broker.get('/tokens/demo')
  t.match({ status, stale: body.stale }, { status: 200, stale: true })
  await query(databaseUrl, `alter role ${role} login`)
  await until(async () => (await broker.get('/health/ready')).body.status === 'ok')
})

t.test(
  'missing database at the start: names the cause once, exit code 1 after the limit',
  async (t) => {
    const databaseUrl = await createDatabase(t)
    const missing = new URL(databaseUrl)
    missing.pathname = '/amo_there_is_none'
    const broker = await startBroker(t, {
      databaseUrl: missing.href,
      ownProcess: true,
      env: { START_LIMIT_MS: '2500' },
      isReady: (log) => log.includes('refuses the connection'),
    })
    await until(() => broker.process.exitCode !== null)
    t.equal(broker.process.exitCode, 1)
    const lines = broker.log().split('\n')
    const refusals = lines.filter((line) => /"msg":"PostgreSQL refuses the connection/.test(line))
    t.equal(refusals.length, 1)
    t.match(refusals[0], /3D000.*Create the database/)
  },
)

t.test('standalone without Redis is ok, not degraded', async (t) => {
  const { broker } = await startBrokerWithSandbox(t, { redis: null, connect: false })
  await until(async () => (await broker.get('/health/ready')).body.status === 'ok')
  t.same((await broker.get('/health/ready')).body.degraded, [])
})
