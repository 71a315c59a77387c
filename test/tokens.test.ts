import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { ERRORS } from '../src/lib/errors.ts'
import { until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { createDatabase, query } from './support/database.ts'
import { startProxy } from './support/proxy.ts'

t.test('GET /tokens/:account', async (t) => {
  const { broker, sandbox, databaseUrl, row, connectedAs } = await startBrokerWithSandbox(t)

  await t.test('200: every field of the contract', async (t) => {
    const { status, headers, body } = await broker.get('/tokens/demo')
    t.equal(status, 200)
    const { accountId } = await row()
    t.match(body, {
      account_id: accountId,
      integration: 'amocrm',
      domain: 'demo.amocrm.ru',
      api_url: sandbox.origin,
      token_type: 'Bearer',
      access_token: /^ey/,
      generation: connectedAs,
    })
    t.equal(sandbox.world.grants.findAccess(body.access_token)?.state, 'live')
    const lifetimeMs = Date.parse(body.expires_at) - Date.now()
    t.ok(Math.abs(lifetimeMs - 86_400_000) < 5_000, 'a day')
    t.ok(body.expires_in <= 86_400 && body.expires_in > 86_390)
    t.ok(body.use_for > 86_400 * 0.69 && body.use_for < 86_400 * 0.75, 'before the rotation')
    t.equal(headers.get('cache-control'), 'no-store')
    t.equal(headers.get('vary'), 'Authorization')
    t.match(headers.get('etag'), /^"amocrm\./)
    t.notOk('stale' in body || 'warning' in body)
  })

  await t.test(
    '200: by id, by domain, by subdomain, in any case, and with the integration named',
    async (t) => {
      const { accountId } = await row()
      for (const name of [accountId, 'demo.amocrm.ru', 'demo', 'DEMO', 'demo?integration=amocrm']) {
        t.equal((await broker.get(`/tokens/${name}`)).body.account_id, accountId, String(name))
      }
    },
  )

  await t.test('304: the ETag is current', async (t) => {
    const first = await broker.get('/tokens/demo')
    const etag = first.headers.get('etag') ?? ''
    const second = await broker.get('/tokens/demo', { 'if-none-match': etag })
    t.equal(second.status, 304)
    t.equal(second.body, '')
    t.equal((await broker.get('/tokens/demo', { 'if-none-match': '"other"' })).status, 200)
  })

  await t.test(
    '200: min_ttl within the guaranteed remaining life; more is capped with a warning',
    async (t) => {
      t.notOk('warning' in (await broker.get('/tokens/demo?min_ttl=3600')).body)
      await query(
        databaseUrl,
        `update amo_tokens set "expiresAt" = now() + interval '2 hours', "refreshAt" = now() + interval '1 hour', "nextAttemptAt" = now() + interval '1 hour'`,
      )
      await until(async () => (await broker.get('/tokens/demo')).body.expires_in < 7300)
      const capped = await broker.get('/tokens/demo?min_ttl=86400')
      t.match(capped, { status: 200, body: { warning: 'min_ttl_capped', generation: connectedAs } })
      t.equal(sandbox.world.books.totals.refreshes, 0, 'it rotated nothing')
    },
  )

  await t.test('401: no key, a wrong key, another scheme', async (t) => {
    for (const authorization of ['', 'Bearer wrong', 'Basic b3A6b3A=', 'Bearer']) {
      const { status, headers, body } = await broker.get('/tokens/demo', { authorization })
      t.equal(status, 401)
      t.match(body, {
        code: 'unauthorized',
        status: 401,
        type: 'urn:amo-token-broker:unauthorized',
      })
      t.equal(headers.get('www-authenticate'), 'Bearer')
      t.match(headers.get('content-type'), /^application\/problem\+json/)
    }
  })

  await t.test('400: invalid input is named', async (t) => {
    for (const path of [
      '/tokens/demo?min_ttl=soon',
      '/tokens/demo?min_ttl=-1',
      '/tokens/demo?min_ttl=1.5',
      '/tokens/demo?min_ttl=100000000',
      '/tokens/demo?nonsense=1',
      '/tokens/de_mo',
      '/tokens/..%2f..%2fetc',
      '/tokens/%E0%A4%A',
    ]) {
      const { status, body } = await broker.get(path)
      t.equal(status, 400, path)
      t.equal(body.code, 'bad_request')
    }
    t.match((await broker.get('/tokens/demo?min_ttl=soon')).body.detail, /min_ttl/)
  })

  await t.test('404: unknown account, unknown path; no URL in the response', async (t) => {
    for (const name of ['nobody', 'nobody.amocrm.ru', '999', '99999999999999999999999']) {
      const { status, body } = await broker.get(`/tokens/${name}`)
      t.match({ status, body }, { status: 404, body: { code: 'account_not_found' } }, name)
    }
    const other = await broker.get('/tokens/demo?integration=kommo')
    t.match(other, { status: 404, body: { code: 'integration_not_found' } })
    const { status, body } = await broker.get('/nothing?code=canary-code')
    t.equal(status, 404)
    t.notMatch(JSON.stringify(body), /canary/)
  })

  await t.test('409: a name of accounts in two integrations', async (t) => {
    await query(
      databaseUrl,
      `insert into amo_integrations (name, provider, "clientId", "clientSecret", "redirectUri")
      select 'second', provider, 'id2', "clientSecret", "redirectUri" from amo_integrations`,
    )
    await query(
      databaseUrl,
      `insert into amo_tokens (integration, "accountId", domain, status, "accessToken", "refreshToken",
        "refreshTokenFingerprint", generation, "issuedAt", "expiresAt")
      select 'second', "accountId", domain, status, "accessToken", "refreshToken", 'other', 77, "issuedAt", "expiresAt"
      from amo_tokens`,
    )
    await until(async () => (await broker.get('/tokens/demo')).status === 409)
    const { body } = await broker.get('/tokens/demo')
    t.match(body, { code: 'ambiguous_account', integrations: ['amocrm', 'second'] })
    t.equal((await broker.get('/tokens/demo?integration=amocrm')).status, 200)
    // Copied by hand from the other row. A sealed value opens at its own place only.
    const copied = await broker.get('/tokens/demo?integration=second')
    t.match(copied, { status: 500, body: { code: 'internal_error' } }, JSON.stringify(copied.body))
    t.notMatch(JSON.stringify(copied.body), /seal|amo_tokens/, 'which is told to the log alone')
    await query(databaseUrl, `delete from amo_tokens where integration = 'second'`)
    await until(async () => (await broker.get('/tokens/demo')).status === 200)
  })

  await t.test('409: pending, disconnected', async (t) => {
    for (const status of ['pending', 'disconnected']) {
      await query(databaseUrl, 'update amo_tokens set status = $1', [status])
      await until(async () => (await broker.get('/tokens/demo')).body.code === status)
      t.equal((await broker.get('/tokens/demo')).status, 409)
    }
    await query(databaseUrl, `update amo_tokens set status = 'active'`)
    await until(async () => (await broker.get('/tokens/demo')).status === 200)
  })

  await t.test(
    'reauth_required: 200 while the token lives, then 409 with the connect link',
    async (t) => {
      await query(
        databaseUrl,
        `update amo_tokens set status = 'reauth_required', "nextAttemptAt" = null, "lastErrorCode" = 'token_revoked'`,
      )
      await until(
        async () => (await broker.get('/accounts/demo')).body.status === 'reauth_required',
      )
      t.match(await broker.get('/tokens/demo'), {
        status: 200,
        body: { warning: 'reauth_required' },
      })
      await query(databaseUrl, `update amo_tokens set "expiresAt" = now() - interval '1 second'`)
      await until(async () => (await broker.get('/tokens/demo')).status === 409)
      const { body } = await broker.get('/tokens/demo')
      t.match(body, { code: 'reauth_required', last_error: 'token_revoked' })
      t.ok(body.connect_url.startsWith(`${broker.publicUrl}/connect/`))
      t.equal(
        (await broker.get('/tokens/demo')).body.connect_url,
        body.connect_url,
        'the same link again',
      )
      t.equal((await fetch(body.connect_url, { redirect: 'manual' })).status, 302, 'which works')
      const account = await broker.get('/accounts/demo')
      t.match(account.body.last_error, {
        code: 'token_revoked',
        problem: /used before/,
        remedy: /connect link/,
      })
    },
  )
})

t.test('GET /tokens/:account past its use_until', async (t) => {
  const { broker, sandbox, databaseUrl, connectedAs } = await startBrokerWithSandbox(t, {
    env: { READ_WAIT_MS: '300' },
  })
  const past = (expires: string) =>
    query(
      databaseUrl,
      `update amo_tokens set "expiresAt" = now() + $1::interval, "refreshAt" = now() - interval '1 second',
         "nextAttemptAt" = now() + interval '1 hour', "failedAttempts" = 0`,
      [expires],
    )

  await t.test('200: joins the refresh and gets the new token', async (t) => {
    await past('1 hour')
    await until(async () => (await broker.get('/tokens/demo')).body.generation > connectedAs)
    const { body } = await broker.get('/tokens/demo')
    t.equal(sandbox.world.grants.findAccess(body.access_token)?.state, 'live')
  })

  await t.test(
    '200: the old token without a promise while the provider is slow; 503 without a live token',
    async (t) => {
      sandbox.world.faults.set([{ fault: 'delay_before_spend', delay_ms: 2_000 }])
      await past('1 hour')
      await until(async () => (await broker.get('/tokens/demo')).body.warning === 'refresh_pending')
      const { body, headers } = await broker.get('/tokens/demo')
      t.equal(body.use_for, 0)
      t.equal(headers.get('cache-control'), 'no-store')
      const impatient = await broker.get('/tokens/demo?min_ttl=3610')
      t.match(impatient, { status: 503, body: { code: 'refresh_pending' } })
      t.equal(impatient.headers.get('retry-after'), '1')
      sandbox.world.faults.clear()
      await until(async () => (await broker.get('/tokens/demo')).body.generation > body.generation)
    },
  )

  await t.test(
    '503 provider_unavailable: the token is dead and the provider refuses',
    async (t) => {
      sandbox.world.faults.set([{ fault: 'too_many_requests' }])
      await past('-1 second')
      await until(
        async () => (await broker.get('/tokens/demo')).body.code === 'provider_unavailable',
      )
      const { status, headers, body } = await broker.get('/tokens/demo')
      t.equal(status, 503)
      t.equal(body.last_error, 'rate_limited')
      t.ok(Number(headers.get('retry-after')) >= 1)
      sandbox.world.faults.clear()
      await until(async () => (await broker.get('/tokens/demo')).status === 200)
      t.equal(sandbox.world.books.totals.presentedAgain, 0)
    },
  )
})

t.test('POST /tokens/:account/refresh', async (t) => {
  const { broker, sandbox, row, connectedAs } = await startBrokerWithSandbox(t, {
    env: { HEARTBEAT_MS: '500' },
  })
  const report = (generation: number) => broker.post('/tokens/demo/refresh', { generation })

  await t.test('200: the token is alive: returned unchanged, nothing rotated', async (t) => {
    const { status, body } = await report(connectedAs)
    t.match({ status, body }, { status: 200, body: { generation: connectedAs } })
    t.equal(sandbox.world.books.totals.refreshes, 0)
  })

  await t.test('200: the token is dead: one rotation for any number of reports', async (t) => {
    const { body } = await broker.get('/tokens/demo')
    const account = sandbox.world.directory.findAccount('demo', 'amocrm')
    t.ok(account && sandbox.world.grants.expire(account, ['access_token']) > 0)
    const answers = await Promise.all(Array.from({ length: 40 }, () => report(body.generation)))
    t.same([...new Set(answers.map(({ status }) => status))], [200])
    t.equal(new Set(answers.map(({ body }) => body.access_token)).size, 1)
    t.equal(sandbox.world.books.totals.refreshes, 1)
    t.equal(sandbox.world.grants.findAccess(answers[0]?.body.access_token)?.state, 'live')
  })

  await t.test(
    '200: an older generation: returns the newer token without a call to the provider',
    async (t) => {
      const calls = sandbox.world.books.totals.apiCalls
      const { generation } = await row()
      t.match(await report(1), { status: 200, body: { generation } })
      t.equal(sandbox.world.books.totals.apiCalls, calls)
    },
  )

  await t.test('400: a generation that no journal knows, warned about once', async (t) => {
    const { refreshes } = sandbox.world.books.totals
    for (const generation of [1_000_000, 999_999_999, Number.MAX_SAFE_INTEGER]) {
      t.match(await report(generation), { status: 400, body: { code: 'unknown_generation' } })
    }
    const warnings = broker.log().match(/"level":\d+[^\n]*reported generation is unknown/g) ?? []
    t.equal(warnings.length, 1)
    t.match(warnings[0], /^"level":40/)
    t.equal(sandbox.world.books.totals.refreshes, refreshes)
  })

  await t.test('429: too many reports', async (t) => {
    const { generation } = await row()
    let last = await report(Number(generation))
    for (let times = 0; times < 10 && last.status === 200; times += 1)
      last = await report(Number(generation))
    t.match(last, { status: 429, body: { code: 'too_many_reports' } })
    t.ok(Number(last.headers.get('retry-after')) > 0)
  })

  await t.test('200: force rotates a token that lives', async (t) => {
    const before = await broker.get('/tokens/demo')
    const { status, body } = await broker.post('/tokens/demo/refresh', { force: true })
    t.equal(status, 200)
    t.ok(body.generation > before.body.generation)
    t.equal(sandbox.world.grants.findAccess(body.access_token)?.state, 'live')
  })

  await t.test('400: neither, both, or a wrong type', async (t) => {
    for (const body of [
      {},
      { generation: 0 },
      { generation: 'x' },
      { force: false },
      { force: true, generation: 1 },
      [],
    ]) {
      t.match(await broker.post('/tokens/demo/refresh', body), {
        status: 400,
        body: { code: 'bad_request' },
      })
    }
  })
})

t.test('PostgreSQL down after use_until: the token is served while it lives', async (t) => {
  const databaseUrl = await createDatabase(t)
  const proxy = await startProxy(t, databaseUrl)
  const { broker } = await startBrokerWithSandbox(t, {
    databaseUrl: proxy.url,
    deploymentId: 'past',
  })
  // Another lifetime each time, so that the read below is of this update and not of the one before.
  for (const [mode, minutes] of [
    ['hang', 60],
    ['refuse', 30],
  ] as const) {
    await query(
      databaseUrl,
      `update amo_tokens set "refreshAt" = now() + interval '3 seconds',
         "expiresAt" = now() + $1 * interval '1 minute', "nextAttemptAt" = now() + interval '1 hour'`,
      [minutes],
    )
    await until(
      async () => (await broker.get('/tokens/demo')).body.expires_in < minutes * 60,
      20_000,
    )
    proxy.set(mode)
    await until(async () => (await broker.get('/tokens/demo')).body.stale === true, 20_000)
    await delay(3_000)
    for (let read = 0; read < 4; read += 1) {
      const { status, body } = await broker.get('/tokens/demo')
      t.match({ status, body }, { status: 200, body: { stale: true, use_for: 0 } }, mode)
    }
    proxy.set('refuse')
    await delay(50)
    proxy.set('pass')
    await until(async () => (await broker.get('/health/ready')).body.status === 'ok', 20_000)
  }
})

t.test('a foreign NOTIFY: no listener ends, and no change is missed', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t, { ownProcess: true })
  await until(async () => (await broker.get('/health/ready')).body.status === 'ok')
  for (const payload of ['', '{}', '[1]', 'null', '["amocrm","x",1]']) {
    await query(
      databaseUrl,
      `select pg_notify('amo_tokens', $1), pg_notify('amo_accounts', $1), pg_notify('amo_integrations', $1)`,
      [payload],
    )
  }
  await query(databaseUrl, `update amo_tokens set "expiresAt" = now() + interval '2 days'`)
  await until(async () => (await broker.get('/tokens/demo')).body.expires_in > 90_000)
  t.equal(broker.process.exitCode, null)
})

t.test(
  'PostgreSQL down: cached tokens are served and marked as stale until it is up',
  async (t) => {
    const databaseUrl = await createDatabase(t)
    const proxy = await startProxy(t, databaseUrl)
    const { broker } = await startBrokerWithSandbox(t, {
      databaseUrl: proxy.url,
      deploymentId: 'away',
      env: { HEARTBEAT_MS: '500' },
    })
    await broker.get('/tokens/demo')
    for (const mode of ['refuse', 'hang'] as const) {
      proxy.set(mode)
      await until(async () => (await broker.get('/tokens/demo')).body.stale === true)
      const { status, body } = await broker.get('/tokens/demo')
      t.match({ status, body }, { status: 200, body: { stale: true } }, mode)
      t.match(await broker.get('/tokens/unheard-of'), {
        status: 503,
        body: { code: 'storage_unavailable' },
      })
      const ready = await broker.get('/health/ready')
      t.equal(ready.status, 200, 'still ready')
      await until(async () =>
        /postgres/.test((await broker.get('/health/ready')).body.degraded.join()),
      )
      proxy.set('refuse')
      await delay(50)
      proxy.set('pass')
      await until(async () => (await broker.get('/tokens/demo')).body.stale === undefined, 20_000)
    }
  },
)

t.test('every error code has a status, a title and a remedy', async (t) => {
  for (const [code, [status, title, remedy]] of Object.entries(ERRORS)) {
    t.ok(status >= 400 && title.length > 0 && remedy.endsWith('.'), code)
  }
})
