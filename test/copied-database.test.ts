import t from 'tap'
import { until } from './support/broker.ts'
import { copyDatabase, query } from './support/database.ts'
import { createDatabaseWithAccounts, makeAllDue } from './support/database-with-accounts.ts'
import { nothingHappensFor } from './support/waits.ts'

/** One percent of it is fewer than three, so the absolute limit of the mass guard applies. */
const SIZE = 60

t.test(
  'a copied database under another DEPLOYMENT_ID: serves tokens and sends nothing',
  async (t) => {
    const { databaseUrl, sandbox, start } = await createDatabaseWithAccounts(t, 50)
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
    await nothingHappensFor(3_000)
    const { tokenCalls, probes } = sandbox.world.books.totals
    t.same({ tokenCalls, probes }, { tokenCalls: 0, probes: 0 })
  },
)

t.test(
  'yesterday’s backup restored: three accounts become reauth_required, then the integration halts',
  async (t) => {
    const { databaseUrl, sandbox, start } = await createDatabaseWithAccounts(t, SIZE)
    await query(databaseUrl, 'create table yesterday as select * from amo_tokens')
    await makeAllDue(databaseUrl)
    const before = await start({ PACE_PER_SECOND: '10' })
    await until(
      () => sandbox.world.books.totals.refreshes === SIZE,
      120_000,
      () => before.log(),
    )
    await until(
      async () =>
        (await query(databaseUrl, 'select from amo_refresh_attempts where "finishedAt" is null'))
          .length === 0,
      120_000,
    )
    await before.stop()
    await query(databaseUrl, 'truncate amo_tokens, amo_refresh_attempts cascade')
    await query(databaseUrl, 'insert into amo_tokens select * from yesterday')
    await makeAllDue(databaseUrl)

    const sent = sandbox.world.books.totals.tokenCalls
    const broker = await start({ PACE_PER_SECOND: '2', SETTLE_MS: '500' })
    await until(() => broker.log().includes('"msg":"integration halted"'), 30_000)
    await nothingHappensFor(5_000)
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
