import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import type { SandboxOptions } from '../src/sandbox/options.ts'
import { buildSandbox } from '../src/sandbox/sandbox.ts'
import { signDisconnect } from '../src/sandbox/server-calls.ts'
import { createVisitor } from '../src/sandbox/visitor.ts'

const CLIENT_ID = '11111111-0000-4000-8000-000000000001'
const SECRET = 'amo-secret'
const CALLBACK = 'https://broker.example/callback'

interface Received {
  method: string
  path: string
  query: Record<string, string>
  host: string
  body: string
}

/**
 * Replaces the broker: records the requests of the sandbox's server, and responds as configured.
 */
async function startReceiver(test: Pick<typeof t, 'after'>) {
  const received: Received[] = []
  const waiting: (() => void)[] = []
  const state = { answer: (response: ServerResponse) => void response.end('ok') }
  const server = createServer(async (request: IncomingMessage, response) => {
    const url = new URL(request.url ?? '/', 'http://receiver')
    received.push({
      method: request.method ?? '',
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      host: request.headers.host ?? '',
      body: await text(request),
    })
    state.answer(response)
    for (const wake of waiting.splice(0)) wake()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  test.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const next = () => new Promise<void>((resolve) => waiting.push(resolve))
  return { origin: `http://127.0.0.1:${port}`, received, state, next }
}

async function start(test: Pick<typeof t, 'after'>, options: SandboxOptions = {}) {
  const time = { now: 1_800_000_000_000 }
  const sandbox = await buildSandbox({
    integrations: [
      {
        platform: 'amocrm',
        clientId: CLIENT_ID,
        clientSecret: SECRET,
        redirectUri: CALLBACK,
        name: 'Our <b>broker</b>',
      },
    ],
    accounts: [
      { platform: 'amocrm', subdomain: 'demo', accountId: 30878000 },
      { platform: 'kommo', subdomain: 'elsewhere' },
    ],
    limits: false,
    clock: () => time.now,
    ...options,
  })
  test.after(() => sandbox.close())
  const visitor = createVisitor(await sandbox.listen())
  const decide = (form: Record<string, string>) =>
    visitor.send('POST', '127.0.0.1', '/oauth/decision', {
      form: { client_id: CLIENT_ID, account: 'demo', decision: 'allow', ...form },
    })
  return { visitor, time, decide, world: sandbox.world }
}

t.test(
  'GET /oauth 200: a page that names the integration and its platform’s accounts',
  async (t) => {
    const { visitor } = await start(t)
    const query = `client_id=${CLIENT_ID}&state=%22%3E%3Cscript%3E&mode=popup&scope=crm&response_type=code`
    for (const [host, path] of [
      ['www.amocrm.ru', '/oauth'],
      ['127.0.0.1', '/oauth/'],
      ['anything.example', '//oauth'],
    ] as const) {
      const page = await visitor.send('GET', host, `${path}?${query}`)
      t.match(page, { status: 200, contentType: /^text\/html/ })
      t.match(page.text, /demo\.amocrm\.ru/)
      t.match(page.text, /Разрешить/)
      t.notMatch(page.text, /elsewhere/)
      t.notMatch(page.text, /<b>broker|"><script>/, 'escaped')
    }
    t.equal((await visitor.send('GET', '127.0.0.1', '/oauth?client_id=nobody')).status, 404)
    t.equal((await visitor.send('GET', 'www.kommo.com', `/oauth?${query}`)).status, 404)
  },
)

t.test('POST /oauth/decision 303: code, state, referer, platform, client_id', async (t) => {
  const { decide, visitor } = await start(t)
  const answer = await decide({ state: 'a b&c' })
  t.equal(answer.status, 303)
  const url = new URL(answer.location ?? '')
  t.equal(url.origin + url.pathname, CALLBACK)
  const { code = '', ...rest } = Object.fromEntries(url.searchParams)
  t.strictSame(rest, {
    state: 'a b&c',
    referer: 'demo.amocrm.ru',
    platform: '1',
    client_id: CLIENT_ID,
  })
  t.match(code, /^def502/)
  const exchanged = await visitor.token('demo.amocrm.ru', {
    client_id: CLIENT_ID,
    client_secret: SECRET,
    grant_type: 'authorization_code',
    redirect_uri: CALLBACK,
    code,
  })
  t.equal(exchanged.status, 200)
})

t.test('POST /oauth/decision 303: no state gives state=state; Deny gives an error', async (t) => {
  const { decide } = await start(t)
  const bare = new URL((await decide({})).location ?? '')
  t.equal(bare.searchParams.get('state'), 'state')
  const denied = new URL((await decide({ decision: 'deny', state: 's' })).location ?? '')
  t.match(Object.fromEntries(denied.searchParams), {
    error: 'access_denied',
    error_description: String,
    state: 's',
    client_id: CLIENT_ID,
  })
  t.notOk(denied.searchParams.has('code'))
  t.equal((await decide({ account: 'elsewhere' })).status, 404, 'other platform')
})

t.test(
  'POST /oauth/decision with an opener: popup redirects it, refusals are sent to it',
  async (t) => {
    const { decide } = await start(t)
    const opened = { opener: '1', state: '</script>' }
    t.equal((await decide({ mode: 'popup' })).status, 303, 'no opener: as for curl')
    t.equal((await decide({ ...opened, mode: 'post_message' })).status, 303, 'the opened window')
    const popup = await decide({ ...opened, mode: 'popup' })
    t.equal(popup.status, 200)
    t.match(popup.text, /window\.opener\.location = url/)
    t.match(popup.text, /<a href="https:\/\/broker\.example\/callback\?code=/)
    const denied = await decide({ ...opened, mode: 'post_message', decision: 'deny' })
    t.equal(denied.status, 200)
    t.match(denied.text, /postMessage\(\{"client_id":"1111[^}]+"error":"access_denied"\}/)
  },
)

t.test(
  'the disconnect hook: signature as in docs/provider.md, part 8, token revoked or not',
  async (t) => {
    const id = '0eee11a7-0000-4000-8000-000000000001'
    const vector = '778860301c6fb4d8cd8016db70ff84ae2395750d32d4e38a941f1270e0356fba'
    t.equal(signDisconnect('secret', id, 30878000), vector)

    const { origin, received } = await startReceiver(t)
    const { visitor } = await start(t)
    const asked = { client_id: CLIENT_ID, account: 'demo' }
    const { body: pair } = await visitor.control('POST', '/mint', asked)
    const url = `${origin}/hooks/disconnect`
    const kept = await visitor.control('POST', '/disconnect', { ...asked, url, revoke: false })
    t.match(kept.body, { purpose: 'disconnect', status: 200, revoked: 0 })
    t.match(received[0], {
      method: 'GET',
      path: '/hooks/disconnect',
      query: {
        account_id: '30878000',
        client_uuid: CLIENT_ID,
        signature: signDisconnect(SECRET, CLIENT_ID, 30878000),
      },
    })
    t.equal((await visitor.probe('api-b.amocrm.ru', String(pair.refresh_token))).status, 200)
    await visitor.control('POST', '/disconnect', { ...asked, url })
    t.equal((await visitor.probe('api-b.amocrm.ru', String(pair.refresh_token))).status, 401)
  },
)

t.test('server-made calls: to this machine only, 422 otherwise', async (t) => {
  const { visitor } = await start(t)
  const asked = { client_id: CLIENT_ID, account: 'demo' }
  const install = await visitor.control('POST', '/install', asked)
  t.match(install, { status: 422, body: { detail: /broker\.example is not on this machine/ } })
  const url = 'https://broker.example/hook'
  t.equal((await visitor.control('POST', '/disconnect', { ...asked, url })).status, 422)
  t.equal((await visitor.control('POST', '/disconnect', asked)).status, 422, 'no url at all')
  await t.rejects(buildSandbox({ callbackOrigin: 'https://broker.example' }), /loopback/)
})

t.test(
  'POST /__sandbox/install: from_widget=1, no state, a short budget, never again',
  async (t) => {
    const { origin, received, state } = await startReceiver(t)
    const { visitor, world } = await start(t, { callbackOrigin: origin, installBudgetMs: 60 })
    t.equal(
      (await buildSandbox()).world.settings.installBudgetMs,
      3_000,
      'three seconds by default',
    )
    const asked = { client_id: CLIENT_ID, account: 'demo' }
    const answered = await visitor.control('POST', '/install', asked)
    t.match(answered.body, { purpose: 'install', status: 200, to: CALLBACK })
    t.notMatch(answered.text, /def502/)
    t.match(received[0], {
      path: '/callback',
      host: 'broker.example',
      query: {
        code: /^def502/,
        referer: 'demo.amocrm.ru',
        platform: '1',
        client_id: CLIENT_ID,
        from_widget: '1',
      },
    })
    t.notOk('state' in (received[0]?.query ?? {}))

    state.answer = () => {}
    const late = await visitor.control('POST', '/install', asked)
    t.match(late.body, { error: 'TimeoutError' })
    t.notOk('status' in late.body)
    t.equal(received.length, 2, 'sent once each')
    t.equal(world.outbound.results.length, 2)
    t.match(await visitor.control('GET', '/calls'), { body: { calls: [{ status: 200 }, {}] } })
  },
)

t.test('POST /oauth2/exchange_api_key: 202 empty, the code comes from the server', async (t) => {
  const { origin, received, next } = await startReceiver(t)
  const { visitor, time, decide } = await start(t, { callbackOrigin: origin })
  const exchange = (more: object = {}, host = 'demo.amocrm.ru') =>
    visitor.send('POST', host, '/oauth2/exchange_api_key', {
      json: {
        login: 'admin@example.com',
        api_key: 'sandbox-api-key',
        client_uuid: CLIENT_ID,
        client_secret: SECRET,
        state: 'abc',
        ...more,
      },
    })
  t.equal((await exchange()).status, 403, 'not installed yet')
  await decide({})
  const arrived = next()
  t.match(await exchange(), { status: 202, text: '' })
  await arrived
  t.strictSame(Object.keys(received[0]?.query ?? {}).sort(), [
    'code',
    'from_exchange',
    'referer',
    'state',
  ])
  t.match(received[0]?.query, { from_exchange: '1', referer: 'demo.amocrm.ru', state: 'abc' })
  t.equal((await exchange()).status, 429, 'once per five minutes')
  t.equal((await exchange({ api_key: 'wrong' })).status, 400)
  t.equal((await exchange({ client_secret: 'wrong' })).status, 400)
  t.equal((await exchange({ login: 'user@example.com' })).status, 403, 'no administrator')
  t.equal((await exchange({}, 'nobody.amocrm.ru')).status, 404)
  time.now += 5 * 60_000
  const again = next()
  t.equal((await exchange({ state: undefined })).status, 202)
  await again
  t.notOk('state' in (received[1]?.query ?? {}))
})

t.test('POST /__sandbox/external-integration: requires exactly 200', async (t) => {
  const { origin, received, state } = await startReceiver(t)
  const { visitor, world } = await start(t)
  const create = (more: object = {}) =>
    visitor.control('POST', '/external-integration', {
      account: 'demo',
      redirect_uri: CALLBACK,
      secrets_uri: `${origin}/hooks/secrets`,
      state: 'made-by-us',
      name: 'External',
      scopes: ['crm', 'notifications'],
      ...more,
    })
  state.answer = (response) => void response.writeHead(204).end()
  t.match(await create(), { body: { status: 204, created: false } })
  t.equal(world.directory.integrations.size, 1, 'nothing was made')

  state.answer = (response) => void response.end()
  const made = await create()
  t.match(made.body, { status: 200, created: true, client_id: /^[0-9a-f-]{36}$/ })
  const secrets = JSON.parse(received[1]?.body ?? '')
  t.match(secrets, { state: 'made-by-us', name: 'External', scopes: ['crm', 'notifications'] })
  const url = new URL(String(made.body.redirect_url))
  t.match(Object.fromEntries(url.searchParams), {
    state: 'made-by-us',
    client_id: secrets.client_id,
  })
  const pair = await visitor.token('demo.amocrm.ru', {
    client_id: secrets.client_id,
    client_secret: secrets.client_secret,
    grant_type: 'authorization_code',
    redirect_uri: CALLBACK,
    code: url.searchParams.get('code'),
  })
  t.equal(pair.status, 200)
  const users = await visitor.api('demo.amocrm.ru', '/api/v4/users', String(pair.body.access_token))
  t.equal(users.status, 403, 'external integrations may not list users')

  await create({ encoding: 'form', scopes_as: 'string' })
  const form = new URLSearchParams(received[2]?.body)
  t.equal(form.get('scopes'), 'crm,notifications')
})

t.test('control routes: their effects, and 400 for unknown fields', async (t) => {
  const { visitor } = await start(t)
  const { control } = visitor
  t.equal(
    (await control('POST', '/accounts', { platform: 'amocrm', subdomain: 'demo' })).status,
    409,
  )
  const made = await control('POST', '/accounts', { platform: 'amocrm', subdomain: 'new' })
  t.match(made, { status: 201, body: { domain: 'new.amocrm.ru', api_domain: 'api-b.amocrm.ru' } })
  t.match(String(made.body.account_id), /^\d{8}$/)
  t.equal((await control('POST', '/accounts', { platform: 'x', subdomain: 'y' })).status, 400)
  t.equal((await control('POST', '/rename', { account: 'x', subdomain: 'y', z: 1 })).status, 400)
  t.equal((await control('POST', '/rename', { account: 'x', subdomain: 'y' })).status, 404)
  const integration = {
    platform: 'amocrm',
    client_id: CLIENT_ID,
    client_secret: 'rotated',
    redirect_uri: CALLBACK,
  }
  const changed = await control('POST', '/integrations', integration)
  t.equal(changed.status, 201)
  t.notMatch(changed.text, /rotated/)

  const asked = { client_id: CLIENT_ID, account: 'new' }
  const pair = (await control('POST', '/mint', asked)).body
  t.match((await control('POST', '/expire', { account: 'new' })).body, { expired: 1 })
  const refreshed = await visitor.token('new.amocrm.ru', {
    client_id: CLIENT_ID,
    client_secret: 'rotated',
    grant_type: 'refresh_token',
    redirect_uri: CALLBACK,
    refresh_token: pair.refresh_token,
  })
  t.match(refreshed.body, { hint: 'Token has expired' })
  t.match((await control('POST', '/revoke', { account: 'new' })).body, { revoked: 2 })
  t.equal((await control('DELETE', '/accounts/new.amocrm.ru')).status, 204)
  t.equal((await visitor.token('new.amocrm.ru', {})).status, 400)
})

t.test(
  'GET /__sandbox/: a page with integrations, accounts, counters, faults; no secret',
  async (t) => {
    const { visitor } = await start(t)
    await visitor.control('PUT', '/faults', [{ fault: 'silent', account: '<i>' }])
    const page = await visitor.control('GET', '/')
    t.match(page, { status: 200, contentType: /^text\/html/ })
    t.match(page.text, /demo\.amocrm\.ru/)
    t.match(page.text, /reused_refresh_tokens/)
    t.match(page.text, /&lt;i&gt;/)
    t.notMatch(page.text, /amo-secret|<i>/)
    t.match(await visitor.send('GET', '127.0.0.1', '/'), { status: 302, location: '/__sandbox/' })
  },
)
