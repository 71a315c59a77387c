import t from 'tap'
import type { SandboxOptions } from '../src/sandbox/options.ts'
import { buildSandbox } from '../src/sandbox/sandbox.ts'
import { createVisitor } from '../src/sandbox/visitor.ts'

const REDIRECT_URI = 'http://127.0.0.1:1/api/v1/integrations/amo-crm/callback'
const AMO = {
  platform: 'amocrm',
  clientId: '11111111-0000-4000-8000-000000000001',
  clientSecret: 'amo-secret',
  redirectUri: REDIRECT_URI,
} as const
const OTHER = { ...AMO, clientId: '11111111-0000-4000-8000-000000000002' }
const KOMMO = {
  ...AMO,
  platform: 'kommo',
  clientId: '22222222-0000-4000-8000-000000000001',
} as const
const HOST = 'demo.amocrm.ru'
const CLIENT = { client_id: AMO.clientId, client_secret: AMO.clientSecret }

async function start(test: Pick<typeof t, 'after'>, options: SandboxOptions = {}) {
  const time = { now: 1_800_000_000_000 }
  const sandbox = await buildSandbox({
    integrations: [AMO, OTHER, KOMMO],
    accounts: [
      { platform: 'amocrm', subdomain: 'demo', accountId: 30878000 },
      { platform: 'amocrm', subdomain: 'second', leads: 3 },
      { platform: 'kommo', subdomain: 'demo', accountId: 40878000 },
    ],
    limits: false,
    clock: () => time.now,
    ...options,
  })
  test.after(() => sandbox.close())
  const visitor = createVisitor(await sandbox.listen())
  const mint = async (more: object = {}) => {
    const asked = { client_id: AMO.clientId, account: 'demo', ...more }
    return strings((await visitor.control('POST', '/mint', asked)).body)
  }
  const refresh = (refreshToken: string | undefined, host = HOST, more: object = {}) =>
    visitor.token(host, {
      ...CLIENT,
      grant_type: 'refresh_token',
      redirect_uri: REDIRECT_URI,
      refresh_token: refreshToken,
      ...more,
    })
  const exchange = (code: string | undefined, host = HOST, more: object = {}) =>
    visitor.token(host, {
      ...CLIENT,
      grant_type: 'authorization_code',
      redirect_uri: REDIRECT_URI,
      code,
      ...more,
    })
  const stats = async () => (await visitor.control('GET', '/stats')).body
  return { sandbox, world: sandbox.world, visitor, time, mint, refresh, exchange, stats }
}

t.test('POST /oauth2/access_token 200: code, then refresh, JSON and form', async (t) => {
  const { visitor, mint, refresh, exchange, stats } = await start(t)
  const first = await exchange((await mint({ kind: 'code' })).code)
  t.equal(first.status, 200)
  t.strictSame(Object.keys(first.body), [
    'token_type',
    'expires_in',
    'server_time',
    'access_token',
    'refresh_token',
  ])
  t.match(first.body, { token_type: 'Bearer', expires_in: 86_400, server_time: 1_800_000_000 })

  const second = await refresh(strings(first.body).refresh_token)
  t.equal(second.status, 200)
  const third = await visitor.send('POST', HOST, '//oauth2/access_token', {
    form: {
      ...CLIENT,
      grant_type: 'refresh_token',
      redirect_uri: REDIRECT_URI,
      refresh_token: strings(second.body).refresh_token ?? '',
    },
  })
  t.equal(third.status, 200, 'form, doubled slash')
  t.match(await stats(), { refreshes: 2, code_exchanges: 1, reused_refresh_tokens: 0 })
})

t.test('tokens look real: an RS256-shaped JWT and def502…, about 1 KB each', async (t) => {
  const { mint } = await start(t)
  const { access_token: access = '', refresh_token: refreshToken = '' } = await mint()
  const [header = '', payload = '', signature = ''] = access.split('.')
  t.match(decode(header), { typ: 'JWT', alg: 'RS256' })
  t.equal(Buffer.from(signature, 'base64url').length, 256)
  t.match(decode(payload), {
    aud: AMO.clientId,
    sub: '30878001',
    account_id: 30878000,
    base_domain: 'amocrm.ru',
    api_domain: 'api-b.amocrm.ru',
    scopes: Array,
    iat: 1_800_000_000,
    nbf: 1_800_000_000,
    exp: 1_800_086_400,
    jti: String,
  })
  t.match(refreshToken, /^def502[0-9a-f]+$/)
  for (const token of [access, refreshToken]) {
    t.ok(token.length > 900 && token.length < 1_300, `${token.length} characters`)
  }
})

t.test('POST /oauth2/access_token 4xx: every row of the error table', async (t) => {
  const s = await start(t)
  const { mint, refresh, exchange, time, world, visitor } = s
  const old = await mint({ refresh_ttl_seconds: 1 })
  const oldCode = await mint({ kind: 'code' })
  time.now += 20 * 60_000 + 1
  const spent = await mint()
  await refresh(spent.refresh_token)
  const spentCode = await mint({ kind: 'code' })
  await exchange(spentCode.code)
  const foreign = { client_id: OTHER.clientId }
  const pair = await mint()
  const code = await mint({ kind: 'code' })
  const rows: [string, ReturnType<typeof refresh>, number, string | undefined][] = [
    ['spent refresh token', refresh(spent.refresh_token), 401, 'Token has been revoked'],
    ['old refresh token', refresh(old.refresh_token), 401, 'Token has expired'],
    ['garbage', refresh('def502garbage'), 401, 'Cannot decrypt the refresh token'],
    [
      'other client',
      refresh(pair.refresh_token, HOST, foreign),
      401,
      'Token is not linked to client',
    ],
    ['wrong secret', refresh(pair.refresh_token, HOST, { client_secret: 'x' }), 401, undefined],
    [
      'unknown client',
      refresh(pair.refresh_token, HOST, { client_id: '99999999-0000-4000-8000-000000000001' }),
      401,
      undefined,
    ],
    [
      'no client_id',
      refresh(pair.refresh_token, HOST, { client_id: undefined }),
      400,
      'Check the `client_id` parameter',
    ],
    [
      'malformed client_id',
      refresh(pair.refresh_token, HOST, { client_id: 'nonsense' }),
      400,
      'Check the `client_id` parameter',
    ],
    [
      'no client_secret',
      refresh(pair.refresh_token, HOST, { client_secret: undefined }),
      400,
      'Check the `client_secret` parameter',
    ],
    [
      'redirect URI with a slash more',
      refresh(pair.refresh_token, HOST, { redirect_uri: `${REDIRECT_URI}/` }),
      400,
      'Redirect URI is not associated with client',
    ],
    [
      'no redirect URI',
      refresh(pair.refresh_token, HOST, { redirect_uri: undefined }),
      400,
      'Redirect URI is not associated with client',
    ],
    ['wrong account', refresh(pair.refresh_token, 'second.amocrm.ru'), 400, 'Invalid account'],
    ['API host', refresh(pair.refresh_token, 'api-b.amocrm.ru'), 400, 'Invalid account'],
    ['no such account', refresh(pair.refresh_token, 'nobody.amocrm.ru'), 404, undefined],
    ['old code', exchange(oldCode.code), 400, 'Authorization code has expired'],
    ['spent code', exchange(spentCode.code), 400, 'Authorization code has been revoked'],
    ['garbage code', exchange('def502'), 400, 'Cannot decrypt the authorization code'],
    [
      "other client's code",
      exchange(code.code, HOST, foreign),
      400,
      'Authorization code was not issued to this client',
    ],
  ]
  for (const [title, answering, status, hint] of rows) {
    const answer = await answering
    t.equal(answer.status, status, title)
    t.equal(answer.body.hint, hint, title)
    t.equal(answer.contentType, 'application/problem+json', title)
  }
  t.equal((await refresh(pair.refresh_token)).status, 200, 'no refusal has spent the token')
  t.equal((await exchange(code.code)).status, 200, 'nor the code')

  world.addIntegration({ ...AMO, disabled: true })
  const disabled = await refresh((await mint()).refresh_token)
  t.match(disabled, { status: 401, body: { hint: 'Token has been revoked' } })
  t.match(await visitor.control('GET', '/stats'), {
    body: { reused_refresh_tokens: 1, reused_codes: 1 },
  })
})

t.test('POST /oauth2/access_token 401: the provider’s bodies', async (t) => {
  const { mint, refresh } = await start(t)
  const { refresh_token: token } = await mint()
  await refresh(token)
  t.equal(
    (await refresh(token)).text,
    '{"hint":"Token has been revoked","title":"Некорректный запрос","type":"https://developers.amocrm.ru/v3/errors/OAuthProblemJson","status":401,"detail":"В запросе отсутствует ряд параметров или параметры невалидны"}',
  )
  t.equal(
    (await refresh(token, HOST, { client_secret: 'x' })).text,
    '{"title":"Некорректный клиент","type":"https://developers.amocrm.ru/v3/errors/OAuthProblemJson","status":401,"detail":"Авторизация клиента не прошла"}',
  )
})

t.test(
  'POST /oauth2/access_token: client, redirect URI, account host, token; in this order',
  async (t) => {
    const { refresh } = await start(t)
    const nowhere = 'nobody.amocrm.ru'
    const wrong = { client_secret: 'x', redirect_uri: 'http://127.0.0.1:1/else' }
    t.equal((await refresh('garbage', nowhere, wrong)).status, 401, 'client first')
    t.match((await refresh('garbage', nowhere, { redirect_uri: wrong.redirect_uri })).body, {
      hint: 'Redirect URI is not associated with client',
    })
    t.equal((await refresh('garbage', nowhere)).status, 404, 'then the host')
    t.match((await refresh('garbage')).body, { hint: 'Cannot decrypt the refresh token' })
  },
)

t.test('POST /oauth/token 200: form, any host, a refresh without redirect URI', async (t) => {
  const { visitor, mint } = await start(t)
  const asked = { client_id: KOMMO.clientId, client_secret: KOMMO.clientSecret }
  const { code = '' } = await mint({ client_id: KOMMO.clientId, kind: 'code' })
  const first = await visitor.send('POST', 'kommo.com', '/oauth/token', {
    form: { ...asked, grant_type: 'authorization_code', code, redirect_uri: REDIRECT_URI },
  })
  t.equal(first.status, 200)
  const { refresh_token = '', access_token = '' } = strings(first.body)
  t.match(decode(access_token.split('.')[1]), { account_id: 40878000 })
  const second = await visitor.send('POST', 'www.kommo.com', '/oauth/token', {
    form: { ...asked, grant_type: 'refresh_token', refresh_token },
  })
  t.equal(second.status, 200)
  const third = await visitor.send('POST', 'kommo.com', '/oauth/token', {
    form: { ...asked, grant_type: 'refresh_token', refresh_token },
  })
  t.match(third, {
    status: 401,
    body: { hint: 'Token has been revoked', title: 'Invalid request' },
  })
})

t.test('two refreshes at once: one 200, one 401, one reuse in the books', async (t) => {
  const { mint, refresh, stats, world } = await start(t)
  const { refresh_token: token } = await mint()
  const statuses = (await Promise.all([refresh(token), refresh(token)])).map(({ status }) => status)
  t.strictSame(statuses.sort(), [200, 401])
  t.match(await stats(), { refreshes: 1, reused_refresh_tokens: 1, presented_again: 1 })
  t.match(world.books.list(), [{ presentation: 'first' }, { presentation: 'again' }])
})

t.test('a refresh kills the old access token, unless configured to keep it', async (t) => {
  for (const survives of [false, true]) {
    const { visitor, mint, refresh } = await start(t, { oldAccessTokenSurvives: survives })
    const pair = await mint()
    const fresh = strings((await refresh(pair.refresh_token)).body)
    const old = await visitor.api(HOST, '/api/v4/account', pair.access_token ?? '')
    t.equal(old.status, survives ? 200 : 401)
    const next = await visitor.api(HOST, '/api/v4/account', fresh.access_token ?? '')
    t.equal(next.status, 200)
  }
})

t.test('a second consent keeps the first grant, unless configured to revoke it', async (t) => {
  for (const revokes of [false, true]) {
    const { mint, refresh, exchange } = await start(t, { reauthorizationRevokes: revokes })
    const first = strings((await exchange((await mint({ kind: 'code' })).code)).body)
    await exchange((await mint({ kind: 'code' })).code)
    t.equal((await refresh(first.refresh_token)).status, revokes ? 401 : 200)
  }
})

t.test('GET /oauth2/account/current/subdomain: 200 alive, 401 dead, 403 no header', async (t) => {
  const { visitor, mint, refresh, stats, world } = await start(t)
  const { refresh_token: token = '' } = await mint()
  for (const host of [HOST, 'api-b.amocrm.ru', HOST]) {
    t.match(await visitor.probe(host, token), {
      status: 200,
      body: { id: 30878000, subdomain: 'demo', domain: 'demo.amocrm.ru', top_level_domain: 'ru' },
    })
  }
  t.equal((await refresh(token)).status, 200, 'probing has spent nothing')
  t.equal((await visitor.probe('api-b.amocrm.ru', token)).status, 401)
  t.equal((await visitor.probe(HOST, 'garbage')).status, 401)
  const path = '/oauth2/account/current/subdomain'
  t.equal((await visitor.send('GET', HOST, path)).status, 403)
  t.match(await stats(), { probes: 6, refreshes: 1 })
  const probed = world.books.list().filter(({ endpoint }) => endpoint === 'probe')
  t.match(probed[3], { outcome: 'spent', kind: 'refresh_token', answered: true })
})

t.test(
  'POST /__sandbox/rename: the old host 404, 401 or 400; the API host knows the new one',
  async (t) => {
    const { visitor, mint, refresh } = await start(t)
    const { refresh_token: token = '' } = await mint()
    const answers = [
      ['404', 404, undefined],
      ['401', 401, undefined],
      ['invalid_account', 400, 'Invalid account'],
    ] as const
    for (const [index, [oldHost, status, hint]] of answers.entries()) {
      const before = index === 0 ? 'demo' : `moved-${index - 1}`
      const asked = {
        account: before,
        platform: 'amocrm',
        subdomain: `moved-${index}`,
        old_host: oldHost,
      }
      t.match(await visitor.control('POST', '/rename', asked), { status: 200 })
      const refused = await refresh(token, `${before}.amocrm.ru`)
      t.equal(refused.status, status)
      t.equal(refused.body.hint, hint)
      t.match(await visitor.probe('api-b.amocrm.ru', token), {
        status: 200,
        body: { domain: `moved-${index}.amocrm.ru` },
      })
    }
    t.equal((await refresh(token, 'moved-2.amocrm.ru')).status, 200, 'once more at the new host')
  },
)

t.test('access tokens expire in time; long-lived ones live on', async (t) => {
  const { visitor, mint, time } = await start(t)
  const pair = await mint({ access_ttl_seconds: 10 })
  const longLived = await mint({ kind: 'long_lived' })
  t.equal(longLived.refresh_token, undefined)
  time.now += 10_000
  const dead = await visitor.api(HOST, '/api/v4/account', pair.access_token ?? '')
  t.match(dead, {
    status: 401,
    body: { title: 'Unauthorized', type: 'https://httpstatus.es/401', status: 401, detail: String },
  })
  const alive = await visitor.api(HOST, '/api/v4/account', longLived.access_token ?? '')
  t.equal(alive.status, 200)
  t.match((await visitor.control('GET', '/stats')).body, { api_calls: 2, api_calls_refused: 1 })
})

t.test(
  'GET /api/v4/*: account, users, pipelines; leads paged, 204 when there are none',
  async (t) => {
    const { visitor, mint } = await start(t)
    const { access_token: token = '' } = await mint()
    const { access_token: second = '' } = await mint({ account: 'second' })
    const get = (path: string) => visitor.api(HOST, path, token)
    t.match((await get('/api/v4/account')).body, {
      id: 30878000,
      subdomain: 'demo',
      current_user_id: Number,
      country: 'RU',
      currency: 'RUB',
    })
    t.match((await get('/api/v4/users')).body, { _total_items: 2, _embedded: { users: Array } })
    t.match((await get('/api/v4/leads/pipelines')).body, {
      _total_items: 1,
      _embedded: { pipelines: [{ is_main: true, _embedded: { statuses: Array } }] },
    })
    t.match(await get('/api/v4/leads'), { status: 204, text: '' })
    const leads = await visitor.api('api-b.amocrm.ru', '/api/v4/leads?page=1&limit=2', second)
    t.match(leads.body, { _page: 1, _links: { next: { href: /page=2&limit=2$/ } } })
    t.notOk('_total_items' in leads.body)
    const last = await visitor.api('second.amocrm.ru', '/api/v4/leads?page=2&limit=2', second)
    t.notMatch(last.body, { _links: { next: Object } })
    t.equal((await visitor.api(HOST, '/api/v4/account', second)).status, 401, 'wrong host')
  },
)

t.test('over 7 calls a second: 429 text, then 403 HTML, the token endpoint included', async (t) => {
  const { visitor, mint, refresh, time } = await start(t, { limits: { blockAfter: 2 } })
  const { access_token: token = '', refresh_token: refreshToken } = await mint()
  const statuses: number[] = []
  for (let call = 0; call < 10; call += 1) {
    statuses.push((await visitor.api(HOST, '/api/v4/account', token)).status)
  }
  t.strictSame(statuses, [200, 200, 200, 200, 200, 200, 200, 429, 429, 403])
  t.match(await refresh(refreshToken), { status: 403, contentType: 'text/html', text: /nginx/ })
  time.now += 60_001
  t.equal((await refresh(refreshToken)).status, 200, 'the block ends, nothing was spent')
  await visitor.control('PUT', '/limits', { per_integration: 1 })
  const { access_token: fresh = '' } = await mint()
  await visitor.api(HOST, '/api/v4/account', fresh)
  const limited = await visitor.api(HOST, '/api/v4/account', fresh)
  t.match(limited, { status: 429, contentType: /^text\/plain/ })
  t.match(await visitor.control('PUT', '/limits', { off: true }), { body: { limits: false } })
})

t.test(
  '404 in the provider’s style: unknown host, unknown path, no query in the response',
  async (t) => {
    const { visitor } = await start(t)
    const unknown = await visitor.send('GET', HOST, '/nothing?code=secret')
    t.match(unknown, { status: 404, contentType: 'application/problem+json' })
    t.notMatch(unknown.text, /secret/)
    t.equal((await visitor.send('GET', 'example.com', '/')).status, 404)
    t.equal((await visitor.api('example.com', '/api/v4/account', 'x')).status, 404)
    t.equal((await visitor.token('example.com', {})).status, 400, 'client first')
  },
)

function strings(body: Record<string, unknown>): Record<string, string> {
  const entries = Object.entries(body).filter((entry) => typeof entry[1] === 'string')
  return Object.fromEntries(entries.map(([key, value]) => [key, String(value)]))
}

function decode(part = ''): unknown {
  return JSON.parse(Buffer.from(part, 'base64url').toString())
}
