import t, { type Test } from 'tap'
import { CLIENT_ID, connectAccount, startBroker, startSandbox, until } from './support/broker.ts'
import { type BrokerWithSandbox, startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { createDatabase, query } from './support/database.ts'
import { linkOf, Person } from './support/person.ts'
import { freePorts } from './support/ports.ts'
import { startProxy } from './support/proxy.ts'

const accountsOf = ({ databaseUrl }: BrokerWithSandbox) =>
  query(databaseUrl, 'select "accountId"::int, domain, status from amo_tokens order by domain')

const inboxOf = ({ databaseUrl }: BrokerWithSandbox) =>
  query(databaseUrl, 'select outcome, secret, pair from amo_inbox order by "receivedAt"')

t.test('consent: from the link to the token', async (t) => {
  const stage = await startBrokerWithSandbox(t, { connect: false })
  const browser = new Person()
  const link = await linkOf(stage.broker, { mode: 'post_message' })
  t.ok(link.startsWith(`${stage.broker.publicUrl}/connect/`))
  const opened = await fetch(link, { redirect: 'manual' })
  t.equal(opened.status, 302)
  const consentPage = new URL(opened.headers.get('location') ?? '')
  t.equal(consentPage.origin, stage.sandbox.origin)
  t.match(Object.fromEntries(consentPage.searchParams), {
    client_id: CLIENT_ID,
    mode: 'post_message',
  })
  const [cookie] = opened.headers.getSetCookie()
  t.match(cookie, /HttpOnly; SameSite=Lax$/)
  t.equal(opened.headers.get('cache-control'), 'no-store')
  t.equal(opened.headers.get('referrer-policy'), 'no-referrer')

  const callback = await browser.decide(link, 'allow')
  t.same([...callback.searchParams.keys()].sort(), [
    'client_id',
    'code',
    'platform',
    'referer',
    'state',
  ])
  const page = await browser.finish(callback)
  t.equal(page.status, 200)
  t.match(page.text, /demo\.amocrm\.ru is connected/)
  t.notMatch(page.url, /code|state/, 'the person ends on a clean URL')
  t.same(await accountsOf(stage), [
    {
      accountId: Number((await stage.row()).accountId),
      domain: 'demo.amocrm.ru',
      status: 'active',
    },
  ])
  t.same(
    await inboxOf(stage),
    [{ outcome: 'connected', secret: null, pair: null }],
    'the code is forgotten',
  )
  const { body } = await stage.broker.get('/tokens/demo')
  t.equal(stage.sandbox.world.grants.findAccess(body.access_token)?.state, 'live')

  await t.test(
    'the callback loaded again: the same page, and the code is not presented again',
    async (t) => {
      t.match(await browser.finish(callback), { url: page.url, status: 200 })
      t.equal(stage.sandbox.world.books.totals.codeExchanges, 1)
      t.equal(stage.sandbox.world.books.totals.reusedCodes, 0)
    },
  )

  await t.test('the link opened again: used', async (t) => {
    const again = await browser.get(link)
    t.equal(again.status, 410)
    t.match(again.text, /was used already/)
  })
})

t.test('a link survives previews and two browsers', async (t) => {
  const stage = await startBrokerWithSandbox(t, { connect: false })
  const link = await linkOf(stage.broker)
  for (let preview = 0; preview < 3; preview += 1)
    t.equal((await fetch(link, { redirect: 'manual' })).status, 302)
  await new Person().get(link)
  const browser = new Person()
  t.match((await browser.finish(await browser.decide(link, 'allow'))).text, /is connected/)
})

t.test('callbacks that are refused', async (t) => {
  const stage = await startBrokerWithSandbox(t, { connect: false })
  const { broker } = stage
  const path = `${broker.publicUrl}/api/v1/integrations/amo-crm/callback`
  const rejected = async (t: Test, browser: Person, callback: URL | string, code: string) => {
    const page = await browser.finish(callback)
    t.equal(page.status, 400, code)
    t.equal(new URL(page.url).pathname, `/onboarding/problems/${code}`)
    t.match(page.text, new RegExp(`<small>${code}</small>`))
    t.match(page.text, /class="remedy"/, 'and says what to do')
    t.notMatch(page.text, /def502/)
  }

  await t.test('consent was denied', async (t) => {
    const browser = new Person()
    const callback = await browser.decide(await linkOf(broker), 'deny')
    await rejected(t, browser, callback, 'access_denied')
  })

  await t.test('neither code nor error', (t) => rejected(t, new Person(), path, 'no_code'))

  await t.test('no state, or the provider’s replacement for one', async (t) => {
    for (const [state, code] of [
      ['', 'no_state'],
      ['&state=', 'no_state'],
      ['&state=state', 'state_placeholder'],
      ['&state=false', 'state_placeholder'],
    ] as const) {
      const callback = `${path}?code=abc&referer=demo.amocrm.ru${state}`
      await rejected(t, new Person(), callback, code)
    }
  })

  await t.test('a state that was forged, changed or made for another link', async (t) => {
    const browser = new Person()
    const callback = await browser.decide(await linkOf(broker), 'allow')
    const state = callback.searchParams.get('state') ?? ''
    const [linkId, expires, mac] = state.split('.')
    for (const forged of [
      'x',
      'a.b.c',
      `${linkId}.${Number(expires) + 1}.${mac}`,
      `${state}.x`,
      `${state}x`,
    ]) {
      callback.searchParams.set('state', forged)
      await rejected(t, browser, callback, 'state_forged')
    }
  })

  await t.test('a state of another browser (login CSRF)', async (t) => {
    const attacker = new Person()
    const callback = await attacker.decide(await linkOf(broker), 'allow')
    await rejected(t, new Person(), callback, 'other_browser')
    const victim = new Person()
    await victim.get(await linkOf(broker))
    await rejected(t, victim, callback, 'state_forged')
  })

  await t.test('a referer that is not an account host of the platform', async (t) => {
    const browser = new Person()
    const callback = await browser.decide(await linkOf(broker), 'allow')
    for (const referer of [
      'evil.example',
      'demo.amocrm.ru.evil.example',
      'evil.example/demo.amocrm.ru',
      'demo.kommo.com',
      'evil.example#.amocrm.ru',
      'a.b.amocrm.ru',
      'https://evil.example?.amocrm.ru',
      '',
    ]) {
      callback.searchParams.set('referer', referer)
      await rejected(t, browser, callback, 'foreign_referer')
    }
    t.equal(stage.sandbox.world.books.totals.tokenCalls, 0, 'the client secret went nowhere')
  })

  await t.test('another client_id than the link’s', async (t) => {
    const browser = new Person()
    const callback = await browser.decide(await linkOf(broker), 'allow')
    callback.searchParams.set('client_id', '22222222-2222-4222-8222-222222222222')
    await rejected(t, browser, callback, 'foreign_client')
  })

  await t.test('a link that is unknown or has expired', async (t) => {
    t.match(await new Person().get(`${broker.publicUrl}/connect/unknown`), {
      status: 404,
      text: /no such link/,
    })
    const link = await linkOf(broker)
    await query(stage.databaseUrl, `update amo_connect_links set "expiresAt" = now()`)
    t.match(await new Person().get(link), { status: 410, text: /has expired/ })
  })

  await t.test('nothing was stored by any of them', async (t) => {
    t.same(await accountsOf(stage), [])
    t.same(await inboxOf(stage), [])
  })

  await t.test(
    'another path, a problem that does not exist, a page that does not exist',
    async (t) => {
      t.equal((await fetch(`${broker.publicUrl}/elsewhere?code=canary`)).status, 404)
      const odd = await fetch(`${broker.publicUrl}/onboarding/problems/%3Cscript%3E`)
      t.equal(odd.status, 400)
      t.equal((await fetch(`${broker.publicUrl}/onboarding/problems/no_code`)).status, 404)
      t.notMatch(await odd.text(), /<script>/)
      t.equal(
        (await fetch(`${broker.publicUrl}/onboarding/00000000-0000-4000-8000-000000000000`)).status,
        404,
      )
    },
  )

  await t.test('no code, state or cookie stands in the log', async (t) => {
    t.notMatch(broker.log(), /def502|canary|code=|state=/)
    t.match(broker.log(), /callback refused/)
  })
})

t.test('responses of the provider to the code', async (t) => {
  const stage = await startBrokerWithSandbox(t, { connect: false })
  const { broker, sandbox } = stage
  const endsWith = async (t: Test, code: string, text: RegExp, order = {}) => {
    const browser = new Person()
    const page = await browser.finish(await browser.decide(await linkOf(broker, order), 'allow'))
    t.equal(page.status, 200)
    t.match(page.text, text)
    t.match(page.text, new RegExp(`<small>${code}</small>`))
    t.same(await accountsOf(stage), [], 'no account was made')
  }

  await t.test('the secret is wrong', async (t) => {
    sandbox.world.faults.set([{ fault: 'wrong_secret', times: 1 }])
    await endsWith(t, 'client_rejected', /AMO_CLIENT_SECRET/)
    // Anyone can make up a code, so its refusal is no evidence about the client.
    t.match((await broker.get('/health/ready')).body, { status: 'ok' })
    t.match((await broker.get('/integrations/amocrm')).body, { last_error: null })
  })

  await t.test('the redirect URI differs', async (t) => {
    const [integration] = sandbox.world.directory.integrations.values()
    if (integration === undefined) throw new Error('no integration')
    const { platform, clientId, clientSecret, redirectUri } = integration
    const browser = new Person()
    const callback = await browser.decide(await linkOf(broker), 'allow')
    sandbox.world.addIntegration({
      platform,
      clientId,
      clientSecret,
      redirectUri: `${redirectUri}/`,
    })
    const page = await browser.finish(callback)
    sandbox.world.addIntegration({ platform, clientId, clientSecret, redirectUri })
    t.match(page.text, /redirect_uri_mismatch/)
    t.match(page.text, /byte for byte/)
  })

  await t.test('the code has expired', async (t) => {
    const browser = new Person()
    const callback = await browser.decide(await linkOf(broker), 'allow')
    const account = sandbox.world.directory.findAccount('demo', 'amocrm')
    t.ok(account && sandbox.world.grants.expire(account, ['code']) > 0)
    t.match((await browser.finish(callback)).text, /code_expired/)
  })

  await t.test('the code was used', async (t) => {
    const browser = new Person()
    const callback = await browser.decide(await linkOf(broker), 'allow')
    const [integration] = sandbox.world.directory.integrations.values()
    await fetch(`${sandbox.origin}/oauth/token`, {
      method: 'POST',
      body: new URLSearchParams({
        client_id: CLIENT_ID,
        client_secret: integration?.clientSecret ?? '',
        redirect_uri: integration?.redirectUri ?? '',
        grant_type: 'authorization_code',
        code: callback.searchParams.get('code') ?? '',
      }),
    })
    t.match((await browser.finish(callback)).text, /code_used/)
  })

  await t.test(
    'the gateway fails: a new consent is needed, the code is not presented twice',
    async (t) => {
      sandbox.world.faults.set([{ fault: 'bad_gateway_after_spend', endpoint: 'token', times: 1 }])
      const calls = sandbox.world.books.totals.tokenCalls
      await endsWith(t, 'gateway_error', /gateway of the provider failed/)
      t.equal(sandbox.world.books.totals.tokenCalls, calls + 1)
    },
  )

  await t.test('another account than the link expects', async (t) => {
    sandbox.world.addAccount({ platform: 'amocrm', subdomain: 'other' })
    await endsWith(t, 'other_account', /another account/, { account: 'other.amocrm.ru' })
    await endsWith(t, 'other_account', /another account/, { account: '1234' })
  })

  await t.test('the token is of another account than the provider confirms', async (t) => {
    sandbox.world.faults.set([
      { fault: 'body', shape: 'other_account', endpoint: 'token', times: 1 },
    ])
    await endsWith(t, 'domain_unconfirmed', /did not say/)
  })

  await t.test('the token cannot be read', async (t) => {
    sandbox.world.faults.set([
      { fault: 'body', shape: 'access_token_no_jwt', endpoint: 'token', times: 1 },
    ])
    await endsWith(t, 'foreign_token', /cannot be read/)
  })

  const inbox = await inboxOf(stage)
  t.same(
    inbox.filter(({ secret }) => secret !== null),
    [],
    'every code is forgotten',
  )
  const kept = inbox.filter(({ pair }) => pair !== null).map(({ outcome }) => outcome)
  t.same(
    kept.sort(),
    ['domain_unconfirmed', 'foreign_token', 'other_account', 'other_account'],
    'a pair that arrived stays, sealed',
  )
})

t.test('not spent: the broker presents the code again, and the page waits', async (t) => {
  const stage = await startBrokerWithSandbox(t, { connect: false })
  stage.sandbox.world.faults.set([{ fault: 'too_many_requests', endpoint: 'token', times: 1 }])
  const browser = new Person()
  const page = await browser.finish(await browser.decide(await linkOf(stage.broker), 'allow'))
  t.match(page.text, /Connecting the account/)
  t.match(page.text, /http-equiv="refresh"/)
  await until(async () => /is connected/.test((await browser.get(page.url)).text), 20_000)
  t.equal(stage.sandbox.world.books.totals.reusedCodes, 0)
})

t.test('the provider is unreachable: retried until the code expires', async (t) => {
  const stage = await startBrokerWithSandbox(t, { connect: false })
  const browser = new Person()
  const callback = await browser.decide(await linkOf(stage.broker), 'allow')
  await stage.sandbox.close()
  const page = await browser.finish(callback)
  t.match(page.text, /Connecting the account/)
  const [row] = await query(stage.databaseUrl, `select "presentedAt", outcome from amo_inbox`)
  t.same(row, { presentedAt: null, outcome: null })
  await query(
    stage.databaseUrl,
    `update amo_inbox set "receivedAt" = now() - interval '21 minutes'`,
  )
  await until(async () => /code_expired/.test((await browser.get(page.url)).text), 20_000)
})

t.test('accounts of two integrations, a renamed account, a reused name', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  const { world } = stage.sandbox
  const first = world.directory.findAccount('demo', 'amocrm')
  if (first === undefined) throw new Error('no account')
  world.directory.rename(first, 'renamed')
  world.addAccount({ platform: 'amocrm', subdomain: 'demo', accountId: 777 })
  await connectAccount(stage.broker)
  t.match(await accountsOf(stage), [
    { accountId: 777, domain: 'demo.amocrm.ru', status: 'active' },
    { domain: null, status: 'active' },
  ])
  await until(async () => (await stage.broker.get('/tokens/demo')).body.account_id === 777)
  await stage.makeDue()
  await until(async () =>
    (await accountsOf(stage)).some(({ domain }) => domain === 'renamed.amocrm.ru'),
  )
  t.pass('the account that lost its name is found under its new one')
})

t.test('kill -9 before and after the exchange: the next start continues', async (t) => {
  const databaseUrl = await createDatabase(t)
  const [internal = 0, open = 0] = await freePorts(2)
  const sandbox = await startSandbox(t, { publicPort: open })
  const ports: [number, number] = [internal, open]
  const options = { databaseUrl, sandbox, ports, ownProcess: true }
  const first = await startBroker(t, options)
  const browser = new Person()
  const callback = await browser.decide(await linkOf(first), 'allow')
  sandbox.world.faults.set([{ fault: 'too_many_requests', endpoint: 'token' }])
  const { location } = await browser.get(String(callback))
  await first.stop('SIGKILL')
  const unsent = await query(databaseUrl, 'select "presentedAt", pair, outcome from amo_inbox')
  t.match(unsent, [{ presentedAt: null, pair: null, outcome: null }])

  sandbox.world.faults.set([{ fault: 'silent', endpoint: 'probe' }])
  const second = await startBroker(t, options)
  const kept = 'select secret, outcome from amo_inbox where pair is not null'
  await until(async () => (await query(databaseUrl, kept)).length > 0, 20_000)
  await second.stop('SIGKILL')
  t.same(await query(databaseUrl, kept), [{ secret: null, outcome: null }], 'the code is forgotten')

  sandbox.world.faults.clear()
  await query(databaseUrl, `update amo_inbox set "leaseUntil" = now()`)
  const third = await startBroker(t, options)
  await until(async () => (await third.get('/tokens/demo')).status === 200, 20_000)
  t.match((await browser.get(location)).text, /is connected/, 'and the page says so')
  t.equal(sandbox.world.books.totals.codeExchanges, 1)
  t.equal(sandbox.world.books.totals.reusedCodes, 0)
})

t.test(
  'PostgreSQL fails at the callback: nothing is half-stored, and the page reports it',
  async (t) => {
    const stage = await startBrokerWithSandbox(t, { connect: false })
    const proxy = await startProxy(t, stage.databaseUrl)
    await stage.broker.stop()
    const second = await startBroker(t, {
      databaseUrl: proxy.url,
      deploymentId: new URL(stage.databaseUrl).pathname.slice(1),
      sandbox: stage.sandbox,
      ports: [Number(new URL(stage.broker.url).port), Number(new URL(stage.broker.publicUrl).port)],
    })
    const browser = new Person()
    const callback = await browser.decide(await linkOf(second), 'allow')
    proxy.set('refuse')
    const page = await browser.finish(callback)
    t.match(page.text, /storage_unavailable/)
    t.match(page.text, /Open the link again/)
    proxy.set('pass')
    await until(
      async () =>
        (await browser.get(String(callback))).location.includes('/onboarding/') &&
        (await accountsOf(stage)).length === 1,
      20_000,
    )
    t.pass('the same callback, loaded again, goes through')
  },
)

t.test('POST /connect-links: bad input', async (t) => {
  const { broker } = await startBrokerWithSandbox(t, { connect: false })
  t.match(await broker.post('/connect-links', { integration: 'nope' }), {
    status: 404,
    body: { code: 'integration_not_found' },
  })
  for (const body of [
    {},
    { integration: 'amocrm', mode: 'x' },
    { integration: 'amocrm', account: 'a b' },
    { integration: 'amocrm', extra: 1 },
  ]) {
    t.match(await broker.post('/connect-links', body), {
      status: 400,
      body: { code: 'bad_request' },
    })
  }
})

t.test('both platforms: the same name on both is ambiguous', async (t) => {
  const databaseUrl = await createDatabase(t)
  const [internal = 0, open = 0] = await freePorts(2)
  const sandbox = await startSandbox(t, { publicPort: open })
  const kommo = {
    clientId: '33333333-3333-4333-8333-333333333333',
    clientSecret: 'canary-kommo-secret',
    redirectUri: `http://127.0.0.1:${open}/integrations/kommo/oauth/callback`,
  }
  sandbox.world.addIntegration({ platform: 'kommo', ...kommo })
  sandbox.world.addAccount({ platform: 'kommo', subdomain: 'demo' })
  sandbox.world.addAccount({ platform: 'kommo', subdomain: 'older', zone: 'amocrm.com' })
  const broker = await startBroker(t, {
    databaseUrl,
    sandbox,
    ports: [internal, open],
    env: {
      KOMMO_CLIENT_ID: kommo.clientId,
      KOMMO_CLIENT_SECRET: kommo.clientSecret,
      KOMMO_REDIRECT_URI: kommo.redirectUri,
      KOMMO_SANDBOX_ORIGIN: sandbox.origin,
    },
  })
  await connectAccount(broker)
  for (const account of ['demo', 'older']) {
    const browser = new Person()
    const callback = await browser.decide(
      await linkOf(broker, { integration: 'kommo' }),
      'allow',
      account,
    )
    t.equal(callback.pathname, '/integrations/kommo/oauth/callback')
    t.match((await browser.finish(callback)).text, /is connected/)
  }
  t.match(await broker.get('/tokens/demo'), {
    status: 409,
    body: { code: 'ambiguous_account', integrations: ['amocrm', 'kommo'] },
  })
  for (const [name, domain] of [
    ['demo?integration=kommo', 'demo.kommo.com'],
    ['demo.kommo.com', 'demo.kommo.com'],
    ['demo?integration=amocrm', 'demo.amocrm.ru'],
    ['older', 'older.amocrm.com'],
  ] as const) {
    const { body } = await broker.get(`/tokens/${name}`)
    t.equal(body.domain, domain, name)
    t.equal(sandbox.world.grants.findAccess(body.access_token)?.state, 'live')
  }
  await query(databaseUrl, `update amo_tokens set "refreshAt" = now(), "nextAttemptAt" = now()`)
  await until(() => sandbox.world.books.totals.refreshes === 3)
  t.equal(sandbox.world.books.totals.presentedAgain, 0)
})
