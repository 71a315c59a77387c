import t from 'tap'
import {
  deploymentOf,
  ENCRYPTION_KEYS,
  OPERATOR_KEY,
  startBroker,
  until,
} from './support/broker.ts'
import { runCli } from './support/cli.ts'
import { query } from './support/database.ts'
import { fleetOf } from './support/fleet.ts'
import { setStage } from './support/stage.ts'

const KEYS = { ENCRYPTION_KEYS, OPERATOR_KEY }

const verify = (databaseUrl: string, ...args: string[]) =>
  runCli(['verify', '--pace', '100', ...args], {
    ...KEYS,
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
    const help = await runCli([name, '--help'], {})
    t.match(help, { code: 0, out: new RegExp(`amo-broker ${name}`) })
    const nothing = await runCli([name], {
      ...KEYS,
      DATABASE_URL: 'postgres://127.0.0.1:1/none',
    })
    t.match(nothing, { code: 1, err: /DEPLOYMENT_ID is missing/ })
    const down = await runCli([name], {
      ...KEYS,
      DATABASE_URL: 'postgres://127.0.0.1:1/none',
      DEPLOYMENT_ID: 'x',
    })
    t.match(down, { code: 1, err: /amo-broker: .*ECONNREFUSED/ })
  }
})

const adopt = (databaseUrl: string, ...args: string[]) =>
  runCli(['adopt', ...args], { ...KEYS, DATABASE_URL: databaseUrl, DEPLOYMENT_ID: 'moved' })

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
