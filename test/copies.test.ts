import t, { type Test } from 'tap'
import {
  deploymentOf,
  startBroker,
  startSandbox,
  type TestBroker,
  type TestSandbox,
  until,
} from './support/broker.ts'
import { runCli } from './support/cli.ts'
import { copyDatabase, createDatabase, query } from './support/database.ts'
import { addFleet, makeAllDue } from './support/fleet.ts'
import { freePorts } from './support/ports.ts'
import { setStage } from './support/stage.ts'

interface Fleet {
  databaseUrl: string
  sandbox: TestSandbox
  /** A broker of this fleet's integration, on this database or on another. */
  start(env?: Record<string, string>, databaseUrl?: string): Promise<TestBroker>
}

/** A database with that many accounts, which a broker has served and left. */
async function fleetOf(t: Test, size: number): Promise<Fleet> {
  const databaseUrl = await createDatabase(t)
  const [internal = 0, open = 0] = await freePorts(2)
  const sandbox = await startSandbox(t, { publicPort: open })
  const start: Fleet['start'] = (env = {}, url = databaseUrl) =>
    startBroker(t, {
      databaseUrl: url,
      sandbox,
      // Copies of answers lie in Redis for days and would undo what is shown here.
      redis: null,
      ports: [internal, open],
      env: { LOG_LEVEL: 'info', ...env },
    })
  const first = await start({ HOLD_SENDS: 'true' })
  await addFleet(databaseUrl, sandbox, size)
  await first.stop()
  return { databaseUrl, sandbox, start }
}

t.test(
  'a copied database under another DEPLOYMENT_ID: serves, and sends nothing at all',
  async (t) => {
    const { databaseUrl, sandbox, start } = await fleetOf(t, 50)
    const copy = await copyDatabase(t, databaseUrl)
    await makeAllDue(copy)
    await query(
      copy,
      `insert into amo_refresh_attempts (integration, "accountId", generation, "refreshTokenFingerprint", owner, "leaseUntil", "sendCount")
     select integration, "accountId", generation, "refreshTokenFingerprint", 'original', now() - interval '1 hour', 1
     from amo_tokens limit 10`,
    )
    const broker = await start({ DEPLOYMENT_ID: 'staging', SETTLE_MS: '100' }, copy)
    const { body: health } = await broker.get('/health/ready')
    t.match(
      health.degraded.join(),
      /deployment: the database belongs to ".*", nothing is refreshed/,
    )
    const served = await Promise.all(
      Array.from({ length: 50 }, (_, index) => broker.get(`/tokens/fleet-${index}`)),
    )
    t.same([...new Set(served.map(({ status }) => status))], [200], 'readers get what there is')
    await broker.post('/tokens/fleet-1/refresh', { force: true })
    await query(copy, 'select pg_sleep(3)')
    const { tokenCalls, probes } = sandbox.world.books.totals
    t.same({ tokenCalls, probes }, { tokenCalls: 0, probes: 0 })
  },
)

t.test(
  'yesterday’s backup restored: a handful is condemned, then it halts and says so',
  async (t) => {
    const { databaseUrl, sandbox, start } = await fleetOf(t, 200)
    await query(databaseUrl, 'create table yesterday as select * from amo_tokens')
    await makeAllDue(databaseUrl)
    const before = await start()
    await until(
      () => sandbox.world.books.totals.refreshes === 60,
      120_000,
      () => before.log(),
    )
    await until(
      async () =>
        (await query(databaseUrl, 'select from amo_refresh_attempts where "finishedAt" is null'))
          .length === 0,
    )
    await before.stop()
    await query(databaseUrl, 'truncate amo_tokens, amo_refresh_attempts')
    await query(databaseUrl, 'insert into amo_tokens select * from yesterday')
    await makeAllDue(databaseUrl)

    const sent = sandbox.world.books.totals.tokenCalls
    const broker = await start({ PACE_PER_SECOND: '2', SETTLE_MS: '500' })
    await until(() => broker.log().includes('"msg":"integration halted"'), 30_000)
    await query(databaseUrl, 'select pg_sleep(5)')
    const [row] = await query(
      databaseUrl,
      `select count(*)::int as condemned, min("lastErrorCode") as code from amo_tokens where status = 'reauth_required'`,
    )
    t.same(row, { condemned: 3, code: 'spent_elsewhere' })
    const sends = sandbox.world.books.totals.tokenCalls - sent
    t.ok(sends >= 4 && sends <= 8, `${sends} were sent before it stopped`)
    const { body } = await broker.get('/health/ready')
    t.match(body.degraded.join(), /integration amocrm: halted, more accounts than usual/)
    const { body: integrations } = await broker.get('/integrations')
    t.match(integrations.integrations, [{ state: 'halted', state_reason: /spent_elsewhere/ }])
    const served = await broker.get('/tokens/fleet-59')
    t.equal(served.status, 200, 'the others are served what there is')
  },
)

const verify = (databaseUrl: string, ...args: string[]) =>
  runCli('verify', ['--pace', '100', ...args], {
    DATABASE_URL: databaseUrl,
    DEPLOYMENT_ID: 'a-copy',
  })

t.test('verify: probes every account, spends nothing, changes none', async (t) => {
  const { databaseUrl, sandbox } = await fleetOf(t, 20)
  const state = () => query(databaseUrl, 'select * from amo_tokens order by "accountId"')
  const before = await state()
  const all = await verify(databaseUrl)
  t.equal(all.code, 0, all.out + all.err)
  t.match(all.out, /alive.*20[\s\S]*All are alive/)

  const { directory, grants } = sandbox.world
  const revoked = directory.findAccount('fleet-3', 'amocrm')
  if (revoked === undefined) throw new Error('no account')
  grants.revoke(revoked)
  await query(
    databaseUrl,
    `update amo_tokens set status = 'reauth_required' where domain = 'fleet-4.amocrm.ru'`,
  )
  await query(
    databaseUrl,
    `update amo_tokens set "apiDomain" = null, domain = null where domain = 'fleet-5.amocrm.ru'`,
  )
  await query(
    databaseUrl,
    `update amo_tokens set "refreshToken" = 'gone.' || "refreshToken" where domain = 'fleet-6.amocrm.ru'`,
  )
  await query(
    databaseUrl,
    `update amo_tokens set "refreshToken" = overlay("refreshToken" placing 'AAAAAA' from 30) where domain = 'fleet-7.amocrm.ru'`,
  )
  await query(
    databaseUrl,
    `update amo_tokens set status = 'disconnected' where domain = 'fleet-8.amocrm.ru'`,
  )
  await query(
    databaseUrl,
    `insert into amo_refresh_attempts (integration, "accountId", generation, "refreshTokenFingerprint", owner, "leaseUntil")
     select integration, "accountId", generation, "refreshTokenFingerprint", 'broker', now() + interval '1 minute'
     from amo_tokens where domain = 'fleet-9.amocrm.ru'`,
  )
  const changed = await state()
  const mixed = await verify(databaseUrl, '--json')
  t.equal(mixed.code, 1)
  const { counts, accounts } = JSON.parse(mixed.out)
  t.same(
    Object.fromEntries(
      counts.map((each: { verdict: string; accounts: number }) => [each.verdict, each.accounts]),
    ),
    {
      alive: 14,
      dead: 1,
      unclear: 1,
      busy: 1,
      unreadable: 2,
    },
  )
  t.match(
    accounts.find(({ domain }: { domain: string }) => domain === 'fleet-3.amocrm.ru'),
    { verdict: 'dead' },
  )
  t.match(
    accounts.find(({ domain }: { domain: string }) => domain === 'fleet-4.amocrm.ru'),
    {
      status: 'reauth_required',
      verdict: 'alive',
    },
  )
  t.match(mixed.out, /^(?!.*(?:def502|eyJ))/s, 'no token is shown')
  t.same(await state(), changed, 'no account was changed')
  t.equal(changed.length, before.length)
  const { tokenCalls, probes } = sandbox.world.books.totals
  t.same({ tokenCalls, probes: probes > 30 }, { tokenCalls: 0, probes: true })
  t.same(
    await query(
      databaseUrl,
      `select distinct outcome, "outcomeCode" from amo_refresh_attempts where "finishedAt" is not null`,
    ),
    [{ outcome: 'not_sent', outcomeCode: 'checked' }],
  )
})

t.test('verify, adopt: --help; what is missing is named', async (t) => {
  for (const name of ['verify', 'adopt']) {
    const help = await runCli(name, ['--help'], {})
    t.match(help, { code: 0, out: new RegExp(`npm run ${name}`) })
    const nothing = await runCli(name, [], { DATABASE_URL: 'postgres://127.0.0.1:1/none' })
    t.match(nothing, { code: 1, err: /DEPLOYMENT_ID is missing/ })
    const down = await runCli(name, [], {
      DATABASE_URL: 'postgres://127.0.0.1:1/none',
      DEPLOYMENT_ID: 'x',
    })
    t.match(down, { code: 1, err: /amo-token-broker: .*ECONNREFUSED/ })
  }
})

const adopt = (databaseUrl: string, ...args: string[]) =>
  runCli('adopt', args, { DATABASE_URL: databaseUrl, DEPLOYMENT_ID: 'moved' })

t.test(
  'adopt: refused while the other deployment lives; then its brokers refresh at once',
  async (t) => {
    const stage = await setStage(t, { env: { SETTLE_MS: '100' } })
    const { databaseUrl, sandbox, broker } = stage
    const bound = deploymentOf(databaseUrl)
    const alive = await adopt(databaseUrl, '--yes')
    t.match(alive, {
      code: 1,
      out: new RegExp(`belongs to "${bound}"`),
      err: /looks alive: .* sessions/,
    })
    await broker.stop()

    const redirect = `${broker.publicUrl}/api/v1/integrations/amo-crm/callback`
    const moved = await startBroker(t, {
      databaseUrl,
      sandbox,
      deploymentId: 'moved',
      env: { AMO_REDIRECT_URI: redirect },
    })
    const degraded = async () => (await moved.get('/health/ready')).body.degraded.join()
    t.match(await degraded(), /deployment:/)
    await query(
      databaseUrl,
      `insert into amo_refresh_attempts (integration, "accountId", generation, "refreshTokenFingerprint", owner, "leaseUntil")
     select integration, "accountId", generation, "refreshTokenFingerprint", 'other', now() + interval '1 minute' from amo_tokens`,
    )
    t.match(await adopt(databaseUrl, '--yes'), { code: 1, err: /looks alive: 1 refreshes/ })
    await query(databaseUrl, 'delete from amo_refresh_attempts')
    t.match(await adopt(databaseUrl), { code: 1, err: /add --yes/ }, 'nobody is there to be asked')

    await stage.makeDue()
    await query(databaseUrl, 'select pg_sleep(1.5)')
    t.equal(sandbox.world.books.totals.refreshes, 0, 'not before it is adopted')
    t.match(await adopt(databaseUrl, '--yes'), { code: 0, out: /belongs to "moved" now/ })
    await until(() => sandbox.world.books.totals.refreshes === 1)
    await until(async () => !(await degraded()).includes('deployment:'))
    t.match(moved.log(), /"msg":"database adopted"/)
    t.match(await adopt(databaseUrl, '--yes'), { code: 0, out: /belongs to "moved" already/ })
  },
)
