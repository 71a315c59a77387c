import { Redis } from 'ioredis'
import t from 'tap'
import {
  deploymentOf,
  ENCRYPTION_KEYS,
  OPERATOR_KEY,
  startBroker,
  until,
} from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { runCli } from './support/cli.ts'
import { makeDataDir } from './support/data-dir.ts'
import { query, redisUrl } from './support/database.ts'
import { createDatabaseWithAccounts } from './support/database-with-accounts.ts'
import { nothingHappensFor } from './support/waits.ts'

const KEYS = { ENCRYPTION_KEYS, OPERATOR_KEY }

const verify = (databaseUrl: string, ...args: string[]) =>
  runCli(['verify', '--pace', '100', ...args], {
    ...KEYS,
    DATABASE_URL: databaseUrl,
    DEPLOYMENT_ID: 'a-copy',
  })

t.test('verify: probes every account, spends and changes nothing', async (t) => {
  const { databaseUrl, sandbox } = await createDatabaseWithAccounts(t, 20)
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

t.test('verify, adopt: --help, and missing settings are named', async (t) => {
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
  'adopt: refused while the other deployment runs; afterwards brokers refresh at once',
  async (t) => {
    const stage = await startBrokerWithSandbox(t, { env: { SETTLE_MS: '100' } })
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
    await nothingHappensFor(1_500)
    t.equal(sandbox.world.books.totals.refreshes, 0, 'not before it is adopted')
    t.match(await adopt(databaseUrl, '--yes'), { code: 0, out: /belongs to "moved" now/ })
    await until(() => sandbox.world.books.totals.refreshes === 1)
    await until(async () => !(await degraded()).includes('deployment:'))
    t.match(moved.log(), /"msg":"database adopted"/)
    t.match(await adopt(databaseUrl, '--yes'), { code: 0, out: /belongs to "moved" already/ })
  },
)

/** Puts the row back to the table `backup`, and both sequences to where they were then. */
async function restore(databaseUrl: string, generation: number): Promise<void> {
  await query(
    databaseUrl,
    `update amo_tokens t set generation = b.generation, "accessToken" = b."accessToken",
       "refreshToken" = b."refreshToken", "refreshTokenFingerprint" = b."refreshTokenFingerprint",
       "issuedAt" = b."issuedAt", "expiresAt" = b."expiresAt", "refreshAt" = now(),
       "nextAttemptAt" = now() from backup b`,
  )
  await query(databaseUrl, 'truncate amo_refresh_attempts restart identity')
  await query(databaseUrl, `select setval('amo_generation', ${generation})`)
}

t.test(
  'a backup under the same id: the journal shows that it is older, no generation is used twice',
  async (t) => {
    const dataDir = makeDataDir(t)
    const stage = await startBrokerWithSandbox(t, { redis: null, dataDir })
    const { databaseUrl, sandbox, broker } = stage
    await query(databaseUrl, 'create table backup as select * from amo_tokens')
    const before = Number((await stage.row()).generation)
    await stage.makeDue()
    await until(async () => Number((await stage.row()).generation) > before)
    const used = Number((await stage.row()).generation)
    await broker.stop()
    // Other accounts had used greater generations than the one that the response was sent for.
    await restore(databaseUrl, before + 20)
    const redirect = `${broker.publicUrl}/api/v1/integrations/amo-crm/callback`
    const again = await startBroker(t, {
      databaseUrl,
      sandbox,
      redis: null,
      dataDir,
      env: { AMO_REDIRECT_URI: redirect },
    })
    await until(async () => Number((await stage.row()).generation) > used + 1_000_000)
    t.match(again.log(), /the database is older than the journal/)
    t.equal(sandbox.world.books.totals.tokenCalls, 2, 'the spent token was not sent')
  },
)

t.test(
  'a start just after a failover: other replicas may commit first, no generation is used twice',
  async (t) => {
    const stage = await startBrokerWithSandbox(t, { redis: null })
    const { databaseUrl, sandbox, broker } = stage
    const before = Number((await stage.row()).generation)
    await broker.stop()
    await query(databaseUrl, 'update amo_timeline set timeline = timeline + 1')
    await stage.makeDue()
    const redirect = `${broker.publicUrl}/api/v1/integrations/amo-crm/callback`
    await startBroker(t, { databaseUrl, sandbox, redis: null, env: { AMO_REDIRECT_URI: redirect } })
    await until(async () => Number((await stage.row()).generation) > before + 1_000_000)
    const [waited] = await query(
      databaseUrl,
      `select extract(epoch from "claimedAt" - "seenAt")::float8 as seconds
       from amo_refresh_attempts, amo_timeline`,
    )
    t.ok(waited?.seconds >= 1.5, `claimed ${waited?.seconds} s after it saw the new timeline`)
  },
)

t.test(
  'adopt after a restore: the copies in Redis are found under the old id, no generation is used twice',
  async (t) => {
    const first = await startBrokerWithSandbox(t)
    const { databaseUrl, sandbox, broker } = first
    await query(databaseUrl, 'create table backup as select * from amo_tokens')
    const before = Number((await first.row()).generation)
    await first.makeDue()
    await until(async () => Number((await first.row()).generation) > before)
    const used = Number((await first.row()).generation)
    const redis = new Redis(redisUrl())
    t.teardown(() => redis.disconnect())
    const copies = `{amo:${deploymentOf(databaseUrl)}:kept}:*`
    await until(async () => (await redis.keys(copies)).length > 0)
    await broker.stop()

    await restore(databaseUrl, before)
    const env = {
      ...KEYS,
      DATABASE_URL: databaseUrl,
      REDIS_URL: redisUrl(),
      DEPLOYMENT_ID: 'moved',
    }
    t.match(await runCli(['adopt', '--yes'], { ...env, REDIS_URL: 'redis://127.0.0.1:1' }), {
      code: 1,
      err: /responses in Redis cannot be read: .*[\s\S]*remove it to go on without them/,
    })
    t.match(await runCli(['adopt', '--yes'], env), { code: 0, out: /in Redis: 1, taken over/ })

    const redirect = `${broker.publicUrl}/api/v1/integrations/amo-crm/callback`
    const moved = await startBroker(t, {
      databaseUrl,
      sandbox,
      deploymentId: 'moved',
      env: { AMO_REDIRECT_URI: redirect },
    })
    await until(async () => Number((await first.row()).generation) > used + 1_000_000)
    t.equal(sandbox.world.books.totals.tokenCalls, 2, 'the spent token was not sent')
    const { status, body } = await moved.get('/tokens/demo')
    t.equal(status, 200)
    t.equal(sandbox.world.grants.findAccess(body.access_token)?.state, 'live')
  },
)
