import t from 'tap'
import { CLIENT_SECRET, connectAccount, until } from './support/broker.ts'
import {
  afterAttempt,
  assertPresentedOnce,
  type BrokerWithSandbox,
  startBrokerWithSandbox,
} from './support/broker-with-sandbox.ts'
import { query } from './support/database.ts'

t.test('a refresh that succeeds', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  const before = await stage.row()
  await stage.makeDue()
  const row = await afterAttempt(stage, 1)
  t.ok(Number(row.generation) > Number(before.generation), 'a new generation')
  t.match(row, { status: 'active', lastErrorCode: null, failedAttempts: 0, isLater: true })
  t.same(await stage.attempts(), [
    { outcome: 'committed', outcomeCode: null, sendCount: 1, parked: false },
  ])
  t.not(row.refreshTokenFingerprint, before.refreshTokenFingerprint)
  const { body } = await stage.broker.get('/tokens/demo')
  t.equal(stage.sandbox.world.grants.findAccess(body.access_token)?.state, 'live')
  assertPresentedOnce(t, stage)
})

t.test(
  'not spent (429, 403, connection refused): the account stays active and is retried',
  async (t) => {
    const stage = await startBrokerWithSandbox(t)
    let attempts = 0
    for (const [fault, code] of [
      ['too_many_requests', 'rate_limited'],
      ['forbidden_html', 'blocked'],
    ] as const) {
      stage.sandbox.world.faults.set([{ fault, endpoint: 'token', times: 1 }])
      await stage.makeDue()
      attempts += 1
      const row = await afterAttempt(stage, attempts)
      t.match(
        row,
        { status: 'active', lastErrorCode: code, failedAttempts: 1, generation: stage.connectedAs },
        fault,
      )
      t.match((await stage.attempts()).at(-1), {
        outcome: 'refused',
        outcomeCode: code,
        parked: false,
      })
    }
    stage.sandbox.world.faults.clear()
    await until(async () => Number((await stage.row()).generation) > stage.connectedAs, 20_000)
    t.match(await stage.row(), { lastErrorCode: null, failedAttempts: 0 }, 'and it came through')
    assertPresentedOnce(t, stage)
  },
)

t.test('not sent: the provider is unreachable', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  await stage.sandbox.close()
  await stage.makeDue()
  const row = await afterAttempt(stage, 1)
  t.match(row, { status: 'active', lastErrorCode: 'not_reached', generation: stage.connectedAs })
  t.match(await stage.attempts(), [{ outcome: 'not_sent', outcomeCode: 'not_reached' }])
  t.equal(
    (await stage.broker.get('/tokens/demo')).body.warning,
    'provider_unavailable',
    'served meanwhile',
  )
})

/** Changes the integration at the provider. */
function changeAtProvider(
  { sandbox }: BrokerWithSandbox,
  change: { clientSecret?: string; redirectUri?: string },
): void {
  const [integration] = sandbox.world.directory.integrations.values()
  if (integration === undefined) throw new Error('no integration')
  const { platform, clientId, clientSecret, redirectUri } = integration
  sandbox.world.addIntegration({ platform, clientId, clientSecret, redirectUri, ...change })
}

t.test('configuration: the integration is unhealthy, its accounts stay active', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  changeAtProvider(stage, { clientSecret: 'another' })
  await stage.makeDue()
  const row = await afterAttempt(stage, 1)
  t.match(row, {
    status: 'active',
    lastErrorCode: 'client_rejected',
    generation: stage.connectedAs,
  })
  await until(async () => {
    const { body } = await stage.broker.get('/health/ready')
    return body.degraded.includes('integration amocrm: client_rejected')
  })
  const { body } = await stage.broker.get('/accounts/demo')
  t.match(body.last_error, { code: 'client_rejected', remedy: /AMO_CLIENT_SECRET/ })
  changeAtProvider(stage, { clientSecret: CLIENT_SECRET })
  await stage.makeDue()
  await until(async () => Number((await stage.row()).generation) > stage.connectedAs)
  await until(async () => (await stage.broker.get('/health/ready')).body.degraded.length === 0)
  assertPresentedOnce(t, stage)
})

t.test('configuration: another redirect URI', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  changeAtProvider(stage, { redirectUri: 'https://broker.example/callback/' })
  await stage.makeDue()
  t.match(await afterAttempt(stage, 1), {
    status: 'active',
    lastErrorCode: 'redirect_uri_mismatch',
  })
})

t.test('permanent: revoked, after a probe that reports the token dead', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  const { world } = stage.sandbox
  const account = world.directory.findAccount('demo', 'amocrm')
  t.ok(account && world.grants.revoke(account) > 0)
  await stage.makeDue()
  const row = await afterAttempt(stage, 1)
  t.match(row, { status: 'reauth_required', lastErrorCode: 'spent_elsewhere', isLater: true })
  t.match(await stage.attempts(), [{ outcome: 'refused', outcomeCode: 'spent_elsewhere' }])
  t.equal(world.books.totals.probes, 2, 'one at the onboarding, one before the verdict')
  await until(() => stage.broker.log().includes('account must be authorized again'))

  await t.test('a new consent revives the account', async (t) => {
    await connectAccount(stage.broker)
    t.match(await stage.row(), { status: 'active', lastErrorCode: null })
    t.equal((await stage.broker.get('/tokens/demo')).status, 200)
  })
})

t.test('permanent, but the probe reports the token alive: the account stays active', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  stage.sandbox.world.faults.set([{ fault: 'revoked', endpoint: 'token', times: 1 }])
  await stage.makeDue()
  t.match(await afterAttempt(stage, 1), { status: 'active', lastErrorCode: 'token_revoked' })
  await until(() => stage.broker.log().includes('refresh token refused but alive'))
})

t.test(
  'moved: a renamed account is found by the probe and refreshed under its new name',
  async (t) => {
    for (const oldHost of ['404', '401', 'invalid_account'] as const) {
      const stage = await startBrokerWithSandbox(t)
      const { world } = stage.sandbox
      const account = world.directory.findAccount('demo', 'amocrm')
      if (account === undefined) throw new Error('no account')
      world.directory.rename(account, 'renamed', oldHost)
      await stage.makeDue()
      const row = await afterAttempt(stage, 1)
      t.match(row, { status: 'active', domain: 'renamed.amocrm.ru', lastErrorCode: null }, oldHost)
      t.ok(Number(row.generation) > stage.connectedAs)
      t.match(await stage.attempts(), [{ outcome: 'committed', sendCount: 2 }])
      await until(async () => (await stage.broker.get('/tokens/renamed')).status === 200)
      t.equal((await stage.broker.get('/tokens/demo')).status, 404, 'the old name is nobody’s')
      assertPresentedOnce(t, stage)
    }
  },
)

t.test('the public listener’s log and the refresh attempts contain no secret', async (t) => {
  const stage = await startBrokerWithSandbox(t, { ownProcess: true })
  await stage.makeDue()
  await afterAttempt(stage, 1)
  const { body } = await stage.broker.get('/tokens/demo')
  const dump = JSON.stringify([
    await query(stage.databaseUrl, 'select * from amo_tokens'),
    await query(stage.databaseUrl, 'select * from amo_refresh_attempts'),
    await query(stage.databaseUrl, 'select * from amo_inbox'),
    await query(stage.databaseUrl, 'select * from amo_connect_links'),
    await query(stage.databaseUrl, 'select * from amo_integrations'),
  ])
  for (const text of [dump, stage.broker.log()]) {
    t.notMatch(text, body.access_token)
    t.notMatch(text, /eyJ0eX|def502|canary-client-secret/)
  }
})
