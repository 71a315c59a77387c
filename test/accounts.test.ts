import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { Pair } from '../src/sandbox/grants.ts'
import { signDisconnect } from '../src/sandbox/server-calls.ts'
import {
  type Answer,
  CLIENT_ID,
  CLIENT_SECRET,
  OPERATOR_KEY,
  startBroker,
  type TestBroker,
  until,
} from './support/broker.ts'
import {
  assertPresentedOnce,
  type BrokerWithSandbox,
  startBrokerWithSandbox,
} from './support/broker-with-sandbox.ts'
import { ask } from './support/clients.ts'
import { query, redisUrl } from './support/database.ts'

const operator = { authorization: `Bearer ${OPERATOR_KEY}` }

/** Like `broker.post`, with any method and headers. */
function asker({ broker }: BrokerWithSandbox) {
  return (
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> => ask(broker.url, method, path, { ...operator, ...headers }, body)
}

function grantee({ sandbox }: BrokerWithSandbox, subdomain = 'demo') {
  const { directory } = sandbox.world
  const account = directory.findAccount(subdomain, 'amocrm')
  const integration = directory.integrations.get(CLIENT_ID)
  if (account === undefined || integration === undefined) throw new Error('nobody to grant')
  return { account, integration }
}

/** Issues a pair without a consent through the broker. */
function mint(stage: BrokerWithSandbox, subdomain = 'demo', lifetimes = {}): Pair {
  const { account, integration } = grantee(stage, subdomain)
  return stage.sandbox.world.grants.mintPair(account, integration, lifetimes)
}

const orderOf = (pair: Pair, order: Record<string, unknown> = {}) => ({
  integration: 'amocrm',
  domain: 'demo.amocrm.ru',
  access_token: pair.accessToken,
  refresh_token: pair.refreshToken,
  ...order,
})

t.test('POST /accounts/import: existing pairs and long-lived tokens', async (t) => {
  const stage = await startBrokerWithSandbox(t, { connect: false })
  const { broker, sandbox } = stage
  const call = asker(stage)
  const { world } = sandbox
  const spent = () => world.books.totals.refreshes
  const refuses = async (t: Test, order: object, reason: string, headers = {}) => {
    const { status, body } = await call('POST', '/accounts/import', order, headers)
    t.match({ status, body }, { status: 422, body: { code: 'import_refused', reason } })
    t.ok(body.remedy && body.detail)
  }

  await t.test('422: a token that the provider does not confirm is not stored', async (t) => {
    const dead = mint(stage)
    const { account } = grantee(stage)
    world.grants.revoke(account)
    await refuses(t, orderOf(dead), 'refresh_token_dead')
    const { refreshToken: _, ...access } = dead
    await refuses(
      t,
      { integration: 'amocrm', domain: 'demo', access_token: access.accessToken },
      'access_token_dead',
    )
    const pair = mint(stage)
    await refuses(t, orderOf(pair, { domain: 'demo.kommo.com' }), 'foreign_domain')
    world.addAccount({ platform: 'amocrm', subdomain: 'other' })
    const other = mint(stage, 'other')
    await refuses(t, orderOf(pair, { access_token: other.accessToken }), 'other_account')
    world.addIntegration({
      platform: 'amocrm',
      clientId: '22222222-2222-4222-8222-222222222222',
      clientSecret: 'other',
      redirectUri: 'http://127.0.0.1:1/x',
    })
    const integration = world.directory.integrations.get('22222222-2222-4222-8222-222222222222')
    const foreign = integration && world.grants.mintPair(account, integration)
    if (foreign !== undefined) await refuses(t, orderOf(foreign), 'foreign_token')
    world.faults.set([{ fault: 'server_error', endpoint: 'probe' }])
    t.match(await call('POST', '/accounts/import', orderOf(pair)), {
      status: 503,
      body: { code: 'provider_unavailable' },
    })
    world.faults.clear()
    t.same(await query(stage.databaseUrl, 'select from amo_tokens'), [])
  })

  const first = mint(stage)
  await t.test('201: probed, and nothing is spent', async (t) => {
    const { status, body } = await call('POST', '/accounts/import', orderOf(first))
    t.equal(status, 201)
    t.match(body, { status: 'active', kind: 'oauth', domain: 'demo.amocrm.ru', shadow: false })
    t.equal(spent(), 0)
    t.equal((await broker.get('/tokens/demo')).body.access_token, first.accessToken)
    const again = await call('POST', '/accounts/import', orderOf(first))
    t.match(
      again,
      { status: 200, body: { generation: body.generation } },
      'the same again: nothing',
    )
  })

  await t.test('409, 412: a stored pair is replaced only with its generation', async (t) => {
    const second = mint(stage)
    const generation = (await broker.get('/accounts/demo')).body.generation
    t.match(await call('POST', '/accounts/import', orderOf(second)), {
      status: 409,
      body: { code: 'account_exists', generation, detail: /^A different pair of account \d+/ },
    })
    const match = (value: string) => ({ 'if-match': value })
    const others = [generation + 1, generation - 1, Number.MAX_SAFE_INTEGER]
    for (const other of others.map((each) => `"${each}"`)) {
      t.match(await call('POST', '/accounts/import', orderOf(second), match(other)), {
        status: 412,
        body: { code: 'generation_moved' },
      })
    }
    t.equal(
      (await call('POST', '/accounts/import', orderOf(second), match('nonsense'))).status,
      400,
    )
    t.equal((await broker.get('/tokens/demo')).body.access_token, first.accessToken)
    const replaced = await call(
      'POST',
      '/accounts/import',
      orderOf(second),
      match(`"${generation}"`),
    )
    t.equal(replaced.status, 200)
    t.ok(replaced.body.generation > generation)
    await until(
      async () => (await broker.get('/tokens/demo')).body.access_token === second.accessToken,
    )
    t.match(await stage.attempts(), [{ parked: true }], 'the pair before is parked')
  })

  await t.test('201: an expired access token is refreshed at once', async (t) => {
    world.addAccount({ platform: 'amocrm', subdomain: 'late' })
    const pair = mint(stage, 'late', { accessTtlSeconds: 1 })
    const { account } = grantee(stage, 'late')
    world.grants.expire(account, ['access_token'])
    t.equal((await call('POST', '/accounts/import', orderOf(pair, { domain: 'late' }))).status, 201)
    await until(async () => (await broker.get('/tokens/late')).status === 200)
    t.equal(spent(), 1)
  })

  await t.test('a domain of another account: the account is what the provider says', async (t) => {
    world.addAccount({ platform: 'amocrm', subdomain: 'right' })
    world.addAccount({ platform: 'amocrm', subdomain: 'wrong' })
    const before = spent()
    const pair = mint(stage, 'right')
    const { status, body } = await call(
      'POST',
      '/accounts/import',
      orderOf(pair, { domain: 'wrong.amocrm.ru' }),
    )
    t.equal(status, 201)
    t.match(body, { domain: 'right.amocrm.ru', status: 'active' })
    await until(() => broker.log().includes('imported account has another domain'))
    const { access_token } = (await broker.get('/tokens/right')).body
    t.equal(access_token, pair.accessToken, 'a healthy token is not counted as dead')
    t.equal(spent(), before, 'nothing was spent')
    t.equal((await broker.get('/tokens/wrong')).status, 404)
    const { account, integration } = grantee(stage, 'right')
    const lasting = world.grants.mintLongLived(account, integration, 86_400)
    const order = { integration: 'amocrm', domain: 'wrong.amocrm.ru', access_token: lasting }
    await refuses(t, order, 'other_account')
  })

  await t.test('201: a long-lived token is served until it expires, never refreshed', async (t) => {
    world.addAccount({ platform: 'amocrm', subdomain: 'private' })
    const { account, integration } = grantee(stage, 'private')
    const token = world.grants.mintLongLived(account, integration, 86_400)
    const order = { integration: 'amocrm', domain: 'private.amocrm.ru', access_token: token }
    t.match(await call('POST', '/accounts/import', order), {
      status: 201,
      body: { kind: 'long_lived', refresh_at: null, refresh_token_expires_at: null },
    })
    const { body } = await broker.get('/tokens/private')
    t.equal(body.access_token, token)
    t.ok(body.use_for > 80_000, 'may be kept until it ends')
    const again = await call('POST', '/accounts/import', order)
    t.equal(again.status, 409, 'the same token has no fingerprint to be known by')
  })

  assertPresentedOnce(t, stage)
})

t.test('shadow account: served and not rotated until the shadow ends', async (t) => {
  const stage = await startBrokerWithSandbox(t, { connect: false })
  const { broker, sandbox } = stage
  const call = asker(stage)
  const { account, integration } = grantee(stage)
  const pair = mint(stage, 'demo', { accessTtlSeconds: 100 })
  t.match(await call('POST', '/accounts/import', orderOf(pair, { shadow: true })), {
    status: 201,
    body: { shadow: true },
  })
  t.match(await broker.get('/tokens/demo'), {
    status: 200,
    body: { use_for: 0, warning: 'shadow' },
  })
  await stage.makeDue()
  // The old service refreshes it, so the imported token is dead.
  const old = sandbox.world.grants.findOpaque(pair.refreshToken, 'refresh_token')
  const rotated = old && sandbox.world.grants.refresh(old, account, integration, false)
  if (rotated === undefined) throw new Error('not rotated')
  t.match(await call('POST', '/accounts/demo/take-over'), {
    status: 409,
    body: { code: 'shadow_outdated' },
  })
  t.same(await stage.attempts().then((all) => all.filter(({ sendCount }) => sendCount !== 0)), [])
  const { generation } = (await broker.get('/accounts/demo')).body
  const newest = orderOf(rotated, { shadow: true })
  const headers = { 'if-match': `"${generation}"` }
  t.match(await call('POST', '/accounts/import', newest, headers), { status: 200 })
  t.match(await call('POST', '/accounts/demo/take-over'), { status: 200, body: { shadow: false } })
  await stage.makeDue()
  await until(async () => Number((await stage.row()).generation) > generation + 1)
  t.equal((await broker.get('/tokens/demo')).status, 200)
  assertPresentedOnce(t, stage)
})

t.test('POST /accounts/exchange-code: the inbox presents the code once', async (t) => {
  const stage = await startBrokerWithSandbox(t, { connect: false })
  const { broker, sandbox } = stage
  const call = asker(stage)
  const { account, integration } = grantee(stage)
  const { books, grants } = sandbox.world
  const order = (code: string, domain = 'demo') => ({ integration: 'amocrm', domain, code })

  const code = grants.issueCode(account, integration)
  const done = await call('POST', '/accounts/exchange-code', order(code))
  t.match(done, {
    status: 200,
    body: { origin: 'manual', outcome: 'connected', domain: 'demo.amocrm.ru' },
  })
  t.equal((await broker.get('/tokens/demo')).status, 200)
  const again = await call('POST', '/accounts/exchange-code', order(code))
  t.match(again, { status: 200, body: { id: done.body.id, outcome: 'connected' } })
  t.equal(books.totals.codeExchanges, 1)
  t.equal(books.totals.reusedCodes, 0, 'it was not presented again')

  t.match(await call('POST', '/accounts/exchange-code', order(`def502${'0'.repeat(200)}`)), {
    status: 422,
    body: { code: 'onboarding_failed', outcome: 'code_unreadable', remedy: /connect link/ },
  })
  sandbox.world.addAccount({ platform: 'amocrm', subdomain: 'other' })
  t.match(
    await call('POST', '/accounts/exchange-code', {
      ...order(grants.issueCode(account, integration), 'other.amocrm.ru'),
    }),
    { status: 422, body: { outcome: 'invalid_account' } },
    'a code of another account than the one that was named',
  )
  t.equal((await call('POST', '/accounts/exchange-code', order(code, 'evil.example'))).status, 400)
  const { body } = await broker.get('/onboardings')
  t.match(body.onboardings, [
    { outcome: 'invalid_account', problem: String, remedy: String },
    { outcome: 'code_unreadable' },
    { outcome: 'connected', id: done.body.id },
  ])
  t.match(await broker.get(`/onboardings/${done.body.id}`), { body: { outcome: 'connected' } })
  t.notMatch(JSON.stringify(body), /def502/)
})

t.test('DELETE /accounts/:account: removes the pair everywhere, for good', async (t) => {
  const stage = await startBrokerWithSandbox(t, { env: { SETTLE_MS: '500' } })
  const { broker, sandbox, databaseUrl } = stage
  const call = asker(stage)
  const redis = new Redis(redisUrl())
  t.teardown(() => redis.disconnect())
  const deployment = new URL(databaseUrl).pathname.slice(1)
  const { accountId } = grantee(stage).account
  const copies = () => redis.hlen(`{amo:${deployment}:kept}:amocrm/${accountId}`)
  await stage.makeDue()
  await until(
    async () => Number((await stage.row()).generation) > stage.connectedAs && (await copies()) > 0,
  )

  sandbox.world.faults.set([{ fault: 'delay_after_spend', endpoint: 'token', delay_ms: 1_500 }])
  await stage.makeDue()
  await until(() => sandbox.world.books.totals.refreshes >= 2, 20_000)
  const { status, body } = await call('DELETE', '/accounts/demo')
  t.equal(status, 200)
  t.match(body, { account_id: accountId, domain: 'demo.amocrm.ru' })
  t.ok(body.removed.length > 2 && body.remains.length > 2)
  t.equal((await broker.get('/tokens/demo')).status, 404)
  await until(() => /"result":"removed"/.test(broker.log()), 20_000)
  t.same(await query(databaseUrl, 'select from amo_tokens'), [], 'the answer brought nothing back')
  t.same(
    await query(databaseUrl, 'select from amo_refresh_attempts where "parkedPair" is not null'),
    [],
  )
  await until(async () => (await copies()) === 0, 20_000)
  const onDisk = () =>
    readdirSync(join(broker.dataDir, 'spool')).filter((name) => name.endsWith('.kept'))
  await until(
    () => onDisk().length === 0,
    20_000,
    () => `on disk: ${onDisk()}`,
  )
  await until(async () => {
    const rows = await query(databaseUrl, 'select "clearedAt" from amo_removals')
    return rows.length === 1 && rows[0]?.clearedAt !== null
  })
  t.equal((await call('DELETE', '/accounts/demo')).status, 404)

  sandbox.world.faults.clear()
  const pair = mint(stage)
  t.equal((await call('POST', '/accounts/import', orderOf(pair))).status, 201, 'it may come again')
})

t.test('DELETE /accounts/:account: clears the disks of the other replicas', async (t) => {
  const stage = await startBrokerWithSandbox(t, { env: { SETTLE_MS: '500' } })
  const { broker, sandbox, databaseUrl } = stage
  const refreshedBy = (each: TestBroker) =>
    readdirSync(join(each.dataDir, 'spool')).filter((file) => file.startsWith('refresh~'))
  await stage.makeDue()
  await until(() => refreshedBy(broker).length > 0)
  const redirectUri = `${broker.publicUrl}/api/v1/integrations/amo-crm/callback`
  const second = await startBroker(t, {
    databaseUrl,
    sandbox,
    env: { AMO_REDIRECT_URI: redirectUri },
  })
  t.equal((await ask(second.url, 'DELETE', '/accounts/demo', operator)).status, 200)
  await until(() => refreshedBy(broker).length === 0, 20_000)
  t.equal((await broker.get('/tokens/demo')).status, 404)
})

t.test(
  'GET /hooks/disconnect: accepts both secrets, ignores replays, and probes first',
  async (t) => {
    const stage = await startBrokerWithSandbox(t)
    const { broker, sandbox, databaseUrl } = stage
    const { account } = grantee(stage)
    const hook = (secret: string) => {
      const signature = signDisconnect(secret, CLIENT_ID, account.accountId)
      const search = `account_id=${account.accountId}&client_uuid=${CLIENT_ID}&signature=${signature}`
      return fetch(`${broker.publicUrl}/hooks/disconnect?${search}`).then(({ status }) => status)
    }
    const judged = async (outcome: string) => {
      const rows = () =>
        query(databaseUrl, `select outcome from amo_inbox where kind = 'disconnect'`)
      await until(async () => (await rows()).every((row) => row.outcome !== null), 20_000)
      t.match(await rows(), [{ outcome }])
      // The next hook is of another minute.
      await query(databaseUrl, `delete from amo_inbox where kind = 'disconnect'`)
    }
    await asker(stage)('PUT', '/integrations/amocrm/next-client-secret', {
      client_secret: 'the-next-secret',
    })
    t.equal(await hook('neither-of-them'), 403)
    for (const secret of ['the-next-secret', CLIENT_SECRET]) {
      t.equal(await hook(secret), 200)
      t.equal(await hook(secret), 200, 'again: harmless')
      await judged('still_connected')
      t.equal((await broker.get('/tokens/demo')).status, 200)
    }
    sandbox.world.grants.revoke(account)
    await query(databaseUrl, 'update amo_tokens set shadow = true')
    t.equal(await hook(CLIENT_SECRET), 200)
    await judged('nothing_to_do')
    await query(databaseUrl, 'update amo_tokens set shadow = false')
    t.equal(await hook(CLIENT_SECRET), 200)
    await judged('disconnected')
    await until(async () => (await broker.get('/tokens/demo')).status === 409)
    t.match(await broker.get('/tokens/demo'), { body: { code: 'disconnected' } })
    t.equal((await asker(stage)('DELETE', '/accounts/demo')).status, 200)
    t.equal(await hook(CLIENT_SECRET), 200, 'the provider need not know that it has left')
    const rows = await query(databaseUrl, `select 1 from amo_inbox where kind = 'disconnect'`)
    t.same(rows, [], 'an account that is not here makes no row')
  },
)

t.test('POST /accounts/:account/check 200: the smoke test of the guides', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  const { sandbox } = stage
  const call = asker(stage)
  const { account } = grantee(stage)
  const { status, body } = await call('POST', '/accounts/demo/check')
  t.equal(status, 200)
  t.match(body, {
    ok: true,
    domain: 'demo.amocrm.ru',
    checks: [
      { name: 'account', ok: true, status: 200 },
      { name: 'users', ok: true, status: 200 },
      { name: 'pipelines', ok: true, status: 200, count: 1 },
      { name: 'leads', ok: true },
      { name: 'refresh_token', ok: true },
    ],
  })
  t.equal(sandbox.world.books.totals.refreshes, 0, 'nothing is spent')
  account.leads = 0
  t.match((await call('POST', '/accounts/demo/check')).body.checks[3], {
    status: 204,
    count: 0,
    ok: true,
  })
  account.leads = 251
  t.match((await call('POST', '/accounts/demo/check')).body.checks[3], { count: 250, more: true })

  for (const [fault, expected] of [
    ['too_many_requests', { status: 429, note: /Too many/, remedy: /7 requests/ }],
    ['forbidden_html', { status: 403, note: /denied/, remedy: /scopes/ }],
  ] as const) {
    sandbox.world.faults.set([{ fault, endpoint: 'api' }])
    const failed = (await call('POST', '/accounts/demo/check')).body
    t.match(failed, { ok: false, checks: [{ name: 'account', ok: false, ...expected }] })
    t.match(
      failed.checks[1],
      fault === 'forbidden_html' ? { ok: true, note: /administrators/ } : {},
    )
  }
  sandbox.world.faults.clear()
  sandbox.world.grants.revoke(account)
  const dead = (await call('POST', '/accounts/demo/check')).body
  t.equal(dead.ok, false)
  t.match(dead.checks[0], { status: 401, remedy: /refresh/ })
})

t.test('integrations: operators create, change and remove them', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  const { broker, sandbox } = stage
  const call = asker(stage)
  const kommo = {
    provider: 'kommo',
    client_id: '33333333-3333-4333-8333-333333333333',
    client_secret: 'canary-second-secret',
    redirect_uri: `${broker.publicUrl}/integrations/kommo/oauth/callback`,
    sandbox_origin: sandbox.origin,
  }
  const { client_secret: _, ...withoutSecret } = kommo

  await t.test('PUT /integrations/:integration 201: the integration works at once', async (t) => {
    t.equal((await call('PUT', '/integrations/second', withoutSecret)).status, 400)
    const { status, body } = await call('PUT', '/integrations/second', kommo)
    t.equal(status, 201)
    t.match(body, { name: 'second', provider: 'kommo', external: false, accepts_installs: false })
    t.notMatch(JSON.stringify(body), /canary/)
    t.equal((await broker.post('/connect-links', { integration: 'second' })).status, 201)
    t.same((await broker.get('/integrations/second')).body, body)
  })

  await t.test('200: fields without a host change without the secret', async (t) => {
    const changed = await call('PUT', '/integrations/second', {
      ...withoutSecret,
      accepts_installs: true,
      profile: { scopes: ['crm:read'], encoding: 'form' },
    })
    t.match(changed, {
      status: 200,
      body: { accepts_installs: true, profile: { scopes: ['crm:read'], encoding: 'form' } },
    })
  })

  await t.test('403: a host changes only with the current client secret', async (t) => {
    for (const change of [
      { redirect_uri: `${broker.publicUrl}/elsewhere` },
      { profile: { token_url: 'https://kommo.com/oauth/token' } },
      { profile: { authorize_url: 'https://kommo.com/oauth' } },
    ]) {
      for (const secret of [{}, { client_secret: 'wrong' }]) {
        t.match(
          await call('PUT', '/integrations/second', { ...withoutSecret, ...change, ...secret }),
          { status: 403, body: { code: 'client_secret_needed' } },
        )
      }
      t.equal((await call('PUT', '/integrations/second', { ...kommo, ...change })).status, 200)
      t.equal((await call('PUT', '/integrations/second', kommo)).status, 200)
    }
  })

  await t.test('400: what a copy from the provider’s page has left at the ends', async (t) => {
    for (const field of ['client_secret', 'redirect_uri', 'client_id'] as const) {
      for (const bad of ['"x"', 'x\n', 'x\r', ' x', '\ufeffx', "'x'", 'x\u0007x']) {
        const value = bad.replace('x', kommo[field])
        const answer = await call('PUT', '/integrations/second', { ...kommo, [field]: value })
        t.match(answer, { status: 400, body: { code: 'bad_request' } }, JSON.stringify(bad))
        t.match(answer.body.detail, new RegExp(`^${field}`))
        t.notMatch(JSON.stringify(answer.body), /canary/)
      }
    }
    for (const client_secret of ['canary-next\n', '"canary-next"', '\ufeffcanary-next']) {
      const path = '/integrations/second/next-client-secret'
      t.match(await call('PUT', path, { client_secret }), {
        status: 400,
        body: { detail: /^client_secret: / },
      })
    }
    t.equal((await call('PUT', '/integrations/second', kommo)).status, 200)
  })

  await t.test('400: a sandbox at an address that is not public', async (t) => {
    for (const sandbox_origin of [
      'http://10.0.0.5:3002',
      'http://169.254.169.254',
      'http://[fd00:ec2::254]',
      'http://[::ffff:10.0.0.5]',
      'http://[64:ff9b::a9fe:a9fe]',
      'http://0.0.0.0:3002',
    ]) {
      const made = await call('PUT', '/integrations/inside', { ...kommo, sandbox_origin })
      t.match(made, { status: 400, body: { detail: /^sandbox_origin: / } }, sandbox_origin)
      const { provider, redirect_uri } = kommo
      const external = { provider, redirect_uri, sandbox_origin }
      t.equal((await broker.post('/buttons', { external })).status, 400, sandbox_origin)
    }
  })

  await t.test('a host changes only with the secret that the provider accepted', async (t) => {
    const redirect_uri = `${broker.publicUrl}/api/v1/integrations/amo-crm/callback`
    const own = { ...kommo, provider: 'amocrm', client_id: CLIENT_ID, redirect_uri }
    const moved = { ...own, redirect_uri: `${broker.publicUrl}/elsewhere` }
    const put = (order: object) => call('PUT', '/integrations/amocrm', order)
    // The account was connected, so the provider has accepted the secret.
    t.equal((await put({ ...own, client_secret: 'another-secret' })).status, 200)
    t.match(await put({ ...moved, client_secret: 'another-secret' }), {
      status: 403,
      body: { code: 'client_secret_needed' },
    })
    const next = '/integrations/amocrm/next-client-secret'
    t.equal((await call('PUT', next, { client_secret: 'yet-another' })).status, 204)
    t.equal((await put({ ...moved, client_secret: 'yet-another' })).status, 403)
    t.equal((await put({ ...moved, client_secret: CLIENT_SECRET })).status, 200)
    t.equal((await put({ ...own, client_secret: CLIENT_SECRET })).status, 200)
    for (const uri of ['https://evil.example/', '{redirect_uri}x', '']) {
      const profile = { authorize_parameters: { redirect_uri: uri } }
      t.equal((await put({ ...own, client_secret: undefined, profile })).status, 400, uri)
    }
    const profile = { authorize_parameters: { redirect_uri: '{redirect_uri}' } }
    t.equal((await put({ ...own, client_secret: undefined, profile })).status, 200)
  })

  await t.test('400: foreign hosts, and fields that are fixed at creation', async (t) => {
    for (const change of [
      { profile: { token_url: 'https://evil.example/oauth/token' } },
      { profile: { token_url: 'https://evil.example/{domain}/token' } },
      { profile: { token_url: 'http://{domain}/oauth2/access_token' } },
      { profile: { token_url: 'https://{domain}.evil.example/x' } },
      { profile: { token_url: 'https://{domain}@evil.example/x' } },
      { profile: { authorize_url: 'https://evil.example/oauth' } },
      { profile: { authorize_url: 'javascript:alert(1)' } },
      { profile: { allowed_hosts: '.*' } },
      { provider: 'amocrm' },
      { provider: 'custom' },
      { provider: 'toString' },
      { sandbox_origin: null },
      { sandbox_origin: 'http://127.0.0.1:1' },
      { redirect_uri: 'nonsense' },
      { redirect_uri: 'http://evil.example/callback' },
      { redirect_uri: 'http://name:canary-password@127.0.0.1/callback' },
      { profile: { authorize_parameters: { Elsewhere: 5 } } },
    ]) {
      const answer = await call('PUT', '/integrations/second', { ...kommo, ...change })
      t.equal(answer.status, 400, JSON.stringify(change))
    }
    for (const sandbox_origin of [
      'http://[',
      'http://127.0.0.1:99999',
      'http://127.0.0.1?x',
      'http://name:canary-password@127.0.0.1',
    ]) {
      const made = await call('PUT', '/integrations/third', { ...kommo, sandbox_origin })
      t.equal(made.status, 400, sandbox_origin)
      const { provider, redirect_uri } = kommo
      const external = { provider, redirect_uri, sandbox_origin }
      t.equal((await broker.post('/buttons', { external })).status, 400, sandbox_origin)
    }
  })

  await t.test('DELETE /integrations/:integration 409: not while it has accounts', async (t) => {
    t.match(await call('DELETE', '/integrations/amocrm'), {
      status: 409,
      body: { code: 'integration_in_use' },
    })
    t.match(await call('DELETE', '/integrations/second'), { status: 200, body: { name: 'second' } })
    t.equal((await call('GET', '/integrations/second')).status, 404)
    t.notOk(broker.log().includes('canary-second-secret') || broker.log().includes(CLIENT_SECRET))
  })
})
