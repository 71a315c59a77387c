import { hash, randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { createExternal } from '../src/sandbox/server-calls.ts'
import {
  type BrokerOptions,
  CLIENT_ID,
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
import { query } from './support/database.ts'

const PATH = '/api/v1/integrations/amo-crm/callback'
const operator = { authorization: `Bearer ${OPERATOR_KEY}` }

const externalOrder = ({ broker, sandbox }: Pick<BrokerWithSandbox, 'broker' | 'sandbox'>) => ({
  external: {
    provider: 'amocrm',
    redirect_uri: `${broker.publicUrl}${PATH}`,
    sandbox_origin: sandbox.origin,
  },
  name: 'Shop "R&D" <x>',
})

/** Presses the button in an account: the sandbox makes an integration there and sends its keys. */
function press(
  { broker, sandbox }: BrokerWithSandbox,
  button: { state: string; secrets_uri: string },
  subdomain: string,
  how: { encoding?: 'json' | 'form'; scopesAs?: 'array' | 'string' } = {},
) {
  const { world } = sandbox
  const known = world.directory.findAccount(subdomain, 'amocrm')
  return createExternal(world, {
    account: known ?? world.addAccount({ platform: 'amocrm', subdomain }),
    redirectUri: `${broker.publicUrl}${PATH}`,
    secretsUri: button.secrets_uri,
    state: button.state,
    name: 'canary-external-name',
    scopes: ['crm', 'notifications'],
    encoding: 'json',
    scopesAs: 'array',
    ...how,
  })
}

/**
 * Opens the callback in the browser of the person who pressed the button, without a cookie of ours.
 */
async function follow(url: string | undefined): Promise<string> {
  const response = await fetch(url ?? '')
  return response.text()
}

const externals = ({ databaseUrl }: BrokerWithSandbox) =>
  query(
    databaseUrl,
    `select name, "clientId", external, "provisionalUntil" from amo_integrations where external order by "createdAt"`,
  )

t.test('POST /hooks/secrets: a button that creates the integration', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  const { broker, sandbox, databaseUrl } = stage
  const makeButton = async (order: object = {}) =>
    (await broker.post('/buttons', { ...externalOrder(stage), ...order })).body

  await t.test('POST /buttons 201: returns the button’s HTML and data', async (t) => {
    const button = await makeButton({ scopes: ['crm'], title: 'Go' })
    t.match(button, {
      secrets_uri: `${broker.publicUrl}/hooks/secrets`,
      attributes: {
        class: 'amocrm_oauth',
        'data-scopes': 'crm',
        'data-redirect_uri': `${broker.publicUrl}${PATH}`,
        'data-state': button.state,
        src: 'https://www.amocrm.ru/auth/button.min.js',
      },
    })
    t.match(button.html, /data-name="Shop &quot;R&amp;D&quot; &lt;x&gt;"/)
    for (const order of [
      {},
      { ...externalOrder(stage), integration: 'amocrm' },
      { external: { provider: 'amocrm', redirect_uri: 'nonsense' } },
      {
        external: {
          ...externalOrder(stage).external,
          profile: { token_url: 'https://evil.example/x' },
        },
      },
    ]) {
      t.equal((await broker.post('/buttons', order)).status, 400)
    }
    t.equal((await broker.post('/buttons', { integration: 'none' })).status, 404)
  })

  await t.test('200: JSON or form, scopes as a list or a string', async (t) => {
    for (const [index, how] of [
      { encoding: 'json', scopesAs: 'array' },
      { encoding: 'json', scopesAs: 'string' },
      { encoding: 'form', scopesAs: 'array' },
      { encoding: 'form', scopesAs: 'string' },
    ].entries()) {
      const subdomain = `external-${index}`
      const result = await press(stage, await makeButton(), subdomain, how as object)
      t.equal(result.call.status, 200, 'exactly 200')
      t.match((await externals(stage)).at(-1), { provisionalUntil: Date })
      t.match(await follow(result.redirectUrl), new RegExp(`${subdomain}.amocrm.ru is connected`))
      t.match((await externals(stage)).at(-1), { provisionalUntil: null })
      await until(async () => (await broker.get(`/tokens/${subdomain}`)).status === 200)
    }
    const { body } = await broker.post('/accounts/external-0/check', undefined)
    t.match(body.checks[1], { name: 'users', status: 403, ok: true, note: /external integration/ })
    t.equal(new Set((await externals(stage)).map(({ clientId }) => clientId)).size, 4)
    await stage.makeDue()
    await until(() => sandbox.world.books.totals.refreshes >= 5, 30_000)
  })

  await t.test('403: only a state of this broker, once, for a new client', async (t) => {
    const before = await query(databaseUrl, 'select * from amo_integrations order by name')
    const post = (body: object, headers = {}) =>
      ask(broker.publicUrl, 'POST', '/hooks/secrets', headers, body)
    const secrets = {
      client_id: '44444444-4444-4444-8444-444444444444',
      client_secret: 'canary-junk-secret',
    }
    const used = await makeButton()
    await press(stage, used, 'external-used')
    const link = (await broker.post('/connect-links', { integration: 'amocrm' })).body.url
    const { headers } = await fetch(link, { redirect: 'manual' })
    const linkState = new URL(headers.get('location') ?? '').searchParams.get('state')
    const existing = (await broker.post('/buttons', { integration: 'amocrm' })).body.state
    for (const state of ['x', 'a.b.c', `${used.state}x`, used.state, linkState, existing]) {
      t.match(await post({ ...secrets, state }), { status: 403, body: { code: 'forbidden' } })
    }
    const fresh = await makeButton()
    for (const { clientId } of before) {
      t.equal((await post({ ...secrets, client_id: clientId, state: fresh.state })).status, 403)
    }
    for (const body of [
      {},
      { ...secrets },
      { ...secrets, state: fresh.state, client_id: 'a b' },
      { ...secrets, state: fresh.state, client_secret: '' },
    ]) {
      t.equal((await post(body)).status, 400)
    }
    const after = await query(databaseUrl, 'select * from amo_integrations order by name')
    const made = after.filter(({ name }) => !before.some((each) => each.name === name))
    t.equal(made.length, 1, 'the one of the button that was pressed')
    const isBefore = after.filter(({ name }) => before.some((each) => each.name === name))
    t.same(
      isBefore.map(({ clientId, clientSecret }) => [clientId, clientSecret]),
      before.map(({ clientId, clientSecret }) => [clientId, clientSecret]),
      'no known integration was touched',
    )
    t.equal((await press(stage, fresh, 'external-fresh')).call.status, 200, 'its state is unused')
    t.notMatch(broker.log(), /canary-junk-secret|canary-external-name/)
  })

  await t.test('403: a button whose settings were altered in the database', async (t) => {
    const before = await externals(stage)
    for (const change of [
      `jsonb_set(external, '{sandboxOrigin}', '"http://127.0.0.1:9"')`,
      `jsonb_set(external, '{redirectUri}', '"https://evil.example/callback"')`,
      `jsonb_set(external, '{profile}', '{"tokenUrl": "https://evil.example/token"}')`,
      `external - 'mac'`,
    ]) {
      const button = await makeButton()
      await query(
        databaseUrl,
        `update amo_connect_links set external = ${change}
         where "createdAt" = (select max("createdAt") from amo_connect_links)`,
      )
      const keys = { client_id: randomUUID(), client_secret: 'secret', state: button.state }
      const { status } = await ask(broker.publicUrl, 'POST', '/hooks/secrets', {}, keys)
      t.equal(status, 403, change)
    }
    t.same(await externals(stage), before)
  })

  await t.test('keys without a matching code expire after half an hour', async (t) => {
    const button = await makeButton()
    const result = await press(stage, button, 'external-late')
    const name = (await externals(stage)).at(-1)?.name
    t.equal((await broker.get(`/integrations/${name}`)).status, 200)
    await query(
      databaseUrl,
      `update amo_integrations set "provisionalUntil" = now() where "provisionalUntil" is not null`,
    )
    await until(async () => (await broker.get(`/integrations/${name}`)).status === 404, 20_000)
    t.match(await follow(result.redirectUrl), /no such link/)
    t.equal((await broker.get('/tokens/demo')).status, 200, 'the others are as they were')
  })

  await t.test('an account other than the button’s is refused', async (t) => {
    const button = await makeButton({ account: 'other.amocrm.ru' })
    const result = await press(stage, button, 'external-wrong')
    t.match(await follow(result.redirectUrl), /other_account/)
    t.match((await externals(stage)).at(-1), { provisionalUntil: Date })
  })
  assertPresentedOnce(t, stage)
})

t.test('kill -9 between the keys and the code, and during the exchange', async (t) => {
  const stage = await startBrokerWithSandbox(t, { connect: false, ownProcess: true })
  const { sandbox, databaseUrl } = stage
  const ports = (broker: TestBroker): [number, number] => [
    Number(new URL(broker.url).port),
    Number(new URL(broker.publicUrl).port),
  ]
  const options: BrokerOptions = {
    databaseUrl,
    sandbox,
    dataDir: stage.broker.dataDir,
    ports: ports(stage.broker),
    ownProcess: true,
  }
  const { body } = await stage.broker.post('/buttons', externalOrder(stage))
  const result = await press(stage, body, 'killed')
  t.equal(result.call.status, 200)
  await stage.broker.stop('SIGKILL')
  const second = await startBroker(t, {
    ...options,
    env: { NODE_OPTIONS: '--import=./test/support/kill-at.ts', KILL_AT: 'pair_in_inbox' },
  })
  await follow(result.redirectUrl).catch(() => {})
  await until(() => second.process.signalCode === 'SIGKILL')
  await query(databaseUrl, `update amo_inbox set "leaseUntil" = now()`)
  const third = await startBroker(t, options)
  await until(async () => (await third.get('/tokens/killed')).status === 200, 20_000)
  t.match(await externals(stage), [{ external: true, provisionalUntil: null }])
  t.equal(sandbox.world.books.totals.codeExchanges, 1)
})

t.test('a button for an integration that exists', async (t) => {
  const stage = await startBrokerWithSandbox(t, { connect: false })
  const { broker, sandbox } = stage
  const { body } = await broker.post('/buttons', { integration: 'amocrm', mode: 'post_message' })
  t.match(body, {
    secrets_uri: null,
    attributes: { 'data-client-id': CLIENT_ID, 'data-mode': 'post_message' },
  })
  const account = sandbox.world.directory.findAccount('demo', 'amocrm')
  const integration = sandbox.world.directory.integrations.get(CLIENT_ID)
  if (account === undefined || integration === undefined) throw new Error('nobody')
  const callback = () =>
    `${broker.publicUrl}${PATH}?${new URLSearchParams({
      code: sandbox.world.grants.issueCode(account, integration),
      state: body.state,
      referer: 'demo.amocrm.ru',
      client_id: CLIENT_ID,
    })}`
  t.match(await follow(callback()), /is connected/)
  t.match(await follow(callback()), /was used already/, 'once')
})

t.test('the page sends a message to its opener only', async (t) => {
  const stage = await startBrokerWithSandbox(t, { connect: false })
  const { broker } = stage
  const opener = 'https://console.example'
  const pageOf = async (t: Test, decision: 'allow' | 'deny', order: object) => {
    const made = await broker.post('/connect-links', { integration: 'amocrm', ...order })
    t.equal(made.status, 201)
    const opened = await fetch(made.body.url, { redirect: 'manual' })
    const cookie = opened.headers.getSetCookie()[0]?.split(';')[0] ?? ''
    const consent = new URL(opened.headers.get('location') ?? '')
    const decided = await fetch(new URL('/oauth/decision', consent), {
      method: 'POST',
      redirect: 'manual',
      body: new URLSearchParams({
        client_id: CLIENT_ID,
        state: consent.searchParams.get('state') ?? '',
        mode: 'post_message',
        account: 'demo',
        decision,
      }),
    })
    const response = await fetch(decided.headers.get('location') ?? '', { headers: { cookie } })
    const policy = response.headers.get('content-security-policy') ?? ''
    const text = await response.text()
    const [, attributes = '', script] = /<script ([^>]*)>([\s\S]*?)<\/script>/.exec(text) ?? []
    return { policy, attributes: attributes.replaceAll('&quot;', '"'), script }
  }

  await t.test(
    'connected: the outcome goes to the exact origin; the script is allowed by its hash',
    async (t) => {
      const page = await pageOf(t, 'allow', { opener_origin: opener })
      t.match(page.attributes, /data-origin="https:\/\/console\.example"/)
      t.match(page.attributes, /"outcome":"connected"/)
      t.match(page.attributes, /"domain":"demo\.amocrm\.ru"/)
      t.ok(page.policy.includes(`'sha256-${hash('sha256', page.script ?? '', 'base64')}'`))
      t.notMatch(page.policy, /script-src[^;]*unsafe/)
      t.match(page.script, /postMessage\(JSON\.parse\(message\), origin\)/)
    },
  )

  await t.test('denied: the refusal goes to the exact origin', async (t) => {
    const order = { integration: 'amocrm', opener_origin: `${opener}/` }
    t.equal((await broker.post('/connect-links', order)).status, 400, 'an origin is no URL')
    const denied = await pageOf(t, 'deny', { opener_origin: opener })
    t.match(denied.attributes, /"outcome":"access_denied"/)
  })

  await t.test('without an opener: no script', async (t) => {
    const page = await pageOf(t, 'deny', {})
    t.equal(page.script, undefined)
    t.match(page.policy, /script-src 'none'/)
  })
})

t.test('POST /connect-links/reconnect: all accounts that need it, or a list', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  const { broker, databaseUrl } = stage
  const order = (body: object) =>
    ask(broker.url, 'POST', '/connect-links/reconnect', operator, body)
  t.match(await order({}), { status: 200, body: { links: [], next: null } })
  await query(databaseUrl, `update amo_tokens set status = 'reauth_required'`)
  const { body } = await order({ integration: 'amocrm' })
  t.match(body.links, [{ domain: 'demo.amocrm.ru', status: 'reauth_required', url: String }])
  t.same((await order({})).body, body, 'the same links for a week')
  const { account_id } = body.links[0]
  t.equal((await order({ accounts: [account_id, 1] })).body.links.length, 1)
  t.equal((await order({ integration: 'none' })).body.links.length, 0)
  t.equal((await fetch(body.links[0].url, { redirect: 'manual' })).status, 302)
})

t.test('the Kommo guide’s own URLs connect an account', async (t) => {
  const stage = await startBrokerWithSandbox(t, { connect: false })
  const { broker, sandbox } = stage
  const { world } = sandbox
  const kommo = {
    clientId: '33333333-3333-4333-8333-333333333333',
    clientSecret: 'canary-kommo-secret',
    redirectUri: `${broker.publicUrl}/integrations/kommo/oauth/callback`,
  }
  const integration = world.addIntegration({ platform: 'kommo', ...kommo })
  const account = world.addAccount({ platform: 'kommo', subdomain: 'kwid' })
  const scopes = ['crm:read', 'crm:write', 'leads:read', 'leads:write']
  const made = await ask(broker.url, 'PUT', '/integrations/kommo', operator, {
    provider: 'kommo',
    client_id: kommo.clientId,
    client_secret: kommo.clientSecret,
    redirect_uri: kommo.redirectUri,
    sandbox_origin: sandbox.origin,
    profile: {
      authorize_url: 'https://kommo.com/oauth',
      authorize_parameters: { redirect_uri: '{redirect_uri}', response_type: 'code' },
      scopes,
      token_url: 'https://kommo.com/oauth/token',
      encoding: 'form',
    },
  })
  t.equal(made.status, 201)
  const link = (await broker.post('/connect-links', { integration: 'kommo' })).body.url
  const opened = await fetch(link, { redirect: 'manual' })
  const consent = new URL(opened.headers.get('location') ?? '')
  t.match(Object.fromEntries(consent.searchParams), {
    client_id: kommo.clientId,
    redirect_uri: kommo.redirectUri,
    response_type: 'code',
    scope: scopes.join(' '),
    mode: 'popup',
  })
  const cookie = opened.headers.getSetCookie()[0]?.split(';')[0] ?? ''
  // The guide's callback carries only a code and a state.
  const callback = `${kommo.redirectUri}?${new URLSearchParams({
    code: world.grants.issueCode(account, integration),
    state: consent.searchParams.get('state') ?? '',
  })}`
  const page = await fetch(callback, { headers: { cookie } })
  t.match(await page.text(), /kwid\.kommo\.com is connected/)
  await until(async () => (await broker.get('/tokens/kwid')).status === 200)
  await stage.makeDue()
  await until(() => world.books.totals.refreshes === 1)
  const { body } = await broker.get('/tokens/kwid')
  t.equal(world.grants.findAccess(body.access_token)?.state, 'live')

  const code = world.grants.issueCode(account, integration)
  const byHand = { integration: 'kommo', domain: 'kwid', code }
  t.match(await broker.post('/accounts/exchange-code', byHand), {
    status: 200,
    body: { outcome: 'connected' },
  })
  world.addAccount({ platform: 'kommo', subdomain: 'other' })
  const other = world.grants.issueCode(account, integration)
  t.match(
    await broker.post('/accounts/exchange-code', { ...byHand, domain: 'other', code: other }),
    { status: 422, body: { outcome: 'other_account' } },
  )
  assertPresentedOnce(t, stage)
})
