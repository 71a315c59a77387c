import { createHash } from 'node:crypto'
import t from 'tap'
import { CLIENT_ID, OPERATOR_KEY, until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import {
  fromManyAddresses,
  makeClient,
  makeExpired,
  makeRevoked,
  signClient,
} from './support/clients.ts'
import { query } from './support/database.ts'
import { isConsole, routesOf } from './support/routes.ts'

/** Callers. `reader` has a grant on the account "demo", `ungranted` one on another account. */
type Kind =
  | 'none'
  | 'wrong'
  | 'revoked'
  | 'expired'
  | 'ungranted'
  | 'reader'
  | 'monitor'
  | 'operator'

interface Row {
  /** Path of a request to the route. */
  path: string
  body?: unknown
  /** Status for: no valid key, reader without the grant, reader, monitor, operator. */
  expected: readonly [number, number, number, number, number]
}

const OPEN = [200, 200, 200, 200, 200] as const
const ALL = [401, 200, 200, 200, 200] as const
const GRANTED = [401, 403, 200, 403, 200] as const
const OPERATORS_200 = [401, 403, 403, 403, 200] as const
/** The operator's request is allowed, but finds nothing. */
const OPERATORS_404 = [401, 403, 403, 403, 404] as const

/** Routes of the internal listener. A route that is missing here fails the test. */
const INTERNAL: Record<string, Row> = {
  'GET /health/live': { path: '/health/live', expected: OPEN },
  'GET /health/ready': { path: '/health/ready', expected: OPEN },
  'GET /metrics': { path: '/metrics', expected: OPEN },
  'GET /openapi.json': { path: '/openapi.json', expected: OPEN },
  'GET /': { path: '/', expected: [302, 302, 302, 302, 302] },
  'GET /docs': { path: '/docs', expected: OPEN },
  'GET /docs/*': { path: '/docs/static/index.css', expected: OPEN },
  'GET /docs/*, the document': { path: '/docs/json', expected: OPEN },
  'GET /docs/*, the document as YAML': { path: '/docs/yaml', expected: OPEN },
  'GET /docs/*, the page': {
    path: '/docs/static/index.html',
    expected: [302, 302, 302, 302, 302],
  },
  'GET /docs/*, its script': { path: '/docs/static/swagger-initializer.js', expected: OPEN },
  'GET /docs/*, its style': { path: '/docs/static/theme/docs.css', expected: OPEN },
  'GET /docs/*, its icon': { path: '/docs/static/theme/icon.svg', expected: OPEN },
  'GET /docs/*, unknown': { path: '/docs/nothing', expected: [404, 404, 404, 404, 404] },
  'GET /tokens/:account': { path: '/tokens/demo', expected: GRANTED },
  'POST /tokens/:account/refresh': {
    path: '/tokens/demo/refresh',
    body: { generation: 1 },
    expected: GRANTED,
  },
  'POST /tokens/:account/refresh, by force': {
    path: '/tokens/demo/refresh',
    body: { force: true },
    expected: [401, 403, 403, 403, 200],
  },
  'GET /accounts': { path: '/accounts', expected: ALL },
  'GET /accounts/:account': { path: '/accounts/demo', expected: [401, 403, 200, 200, 200] },
  'POST /accounts/:account/pause': { path: '/accounts/demo/pause', expected: OPERATORS_200 },
  'POST /accounts/:account/resume': { path: '/accounts/demo/resume', expected: OPERATORS_200 },
  'POST /accounts/:account/approve': { path: '/accounts/demo/approve', expected: OPERATORS_200 },
  'POST /accounts/:account/take-over': {
    path: '/accounts/demo/take-over',
    expected: OPERATORS_200,
  },
  'POST /accounts/:account/check': { path: '/accounts/demo/check', expected: OPERATORS_200 },
  'PATCH /accounts/:account': {
    path: '/accounts/demo',
    body: { label: 'Demo' },
    expected: OPERATORS_200,
  },
  'GET /accounts/:account/attempts': {
    path: '/accounts/demo/attempts',
    expected: [401, 403, 403, 200, 200],
  },
  'GET /accounts/:account/readers': { path: '/accounts/demo/readers', expected: OPERATORS_200 },
  'GET /forecast': { path: '/forecast', expected: [401, 403, 403, 200, 200] },
  'GET /clean-up': { path: '/clean-up?older_than_days=90', expected: OPERATORS_200 },
  'POST /clean-up': {
    path: '/clean-up',
    body: { older_than_days: 90, accounts: [{ integration: 'amocrm', account_id: 1 }] },
    expected: OPERATORS_200,
  },
  'PATCH /integrations/:integration': {
    path: '/integrations/nothing',
    body: { pace_per_second: 1 },
    expected: OPERATORS_404,
  },
  'DELETE /accounts/:account': { path: '/accounts/nobody', expected: OPERATORS_404 },
  'POST /accounts/import': {
    path: '/accounts/import',
    body: { integration: 'none', domain: 'demo', access_token: 'x'.repeat(20) },
    expected: OPERATORS_404,
  },
  'POST /accounts/exchange-code': {
    path: '/accounts/exchange-code',
    body: { integration: 'none', domain: 'demo', code: 'x'.repeat(20) },
    expected: OPERATORS_404,
  },
  'GET /onboardings': { path: '/onboardings', expected: OPERATORS_200 },
  'GET /onboardings/:onboarding': {
    path: '/onboardings/00000000-0000-4000-8000-000000000000',
    expected: OPERATORS_404,
  },
  'GET /integrations/:integration': { path: '/integrations/amocrm', expected: OPERATORS_200 },
  'PUT /integrations/:integration': {
    path: '/integrations/nothing',
    body: { provider: 'amocrm', client_id: 'x', redirect_uri: 'http://127.0.0.1/x' },
    expected: [401, 403, 403, 403, 400],
  },
  'DELETE /integrations/:integration': {
    path: '/integrations/nothing',
    expected: OPERATORS_404,
  },
  'GET /integrations': { path: '/integrations', expected: OPERATORS_200 },
  'POST /integrations/pause': { path: '/integrations/pause', expected: OPERATORS_200 },
  'POST /integrations/resume': { path: '/integrations/resume', expected: OPERATORS_200 },
  'POST /integrations/:integration/pause': {
    path: '/integrations/amocrm/pause',
    expected: OPERATORS_200,
  },
  'POST /integrations/:integration/resume': {
    path: '/integrations/amocrm/resume',
    expected: OPERATORS_200,
  },
  'GET /health/accounts': { path: '/health/accounts', expected: [401, 403, 403, 200, 200] },
  'POST /connect-links': {
    path: '/connect-links',
    body: { integration: 'amocrm' },
    expected: [401, 403, 403, 403, 201],
  },
  'GET /connect-links': { path: '/connect-links', expected: OPERATORS_200 },
  'DELETE /connect-links/:link': {
    path: '/connect-links/00000000-0000-4000-8000-000000000000',
    expected: OPERATORS_404,
  },
  'POST /connect-links/reconnect': {
    path: '/connect-links/reconnect',
    body: {},
    expected: OPERATORS_200,
  },
  'POST /buttons': {
    path: '/buttons',
    body: { integration: 'amocrm' },
    expected: [401, 403, 403, 403, 201],
  },
  'POST /accounts/exchange-api-key': {
    path: '/accounts/exchange-api-key',
    body: { integration: 'none', domain: 'demo', login: 'a@b.c', api_key: 'x'.repeat(20) },
    expected: OPERATORS_404,
  },
  'GET /accounts/exchanges/:exchange': {
    path: '/accounts/exchanges/00000000-0000-4000-8000-000000000000',
    expected: OPERATORS_404,
  },
  'PUT /integrations/:integration/next-client-secret': {
    path: '/integrations/nothing/next-client-secret',
    body: { client_secret: 'x' },
    expected: OPERATORS_404,
  },
  'DELETE /integrations/:integration/next-client-secret': {
    path: '/integrations/nothing/next-client-secret',
    expected: OPERATORS_404,
  },
  'GET /events': { path: '/events', expected: ALL },
  // A position that is none, because a stream does not end.
  'GET /events/stream': { path: '/events/stream?after=x', expected: [401, 400, 400, 400, 400] },
  'POST /console-links': { path: '/console-links', expected: [401, 403, 403, 201, 201] },
  'GET /audit': { path: '/audit', expected: [401, 403, 403, 403, 200] },
  'GET /clients': { path: '/clients', expected: [401, 403, 403, 403, 200] },
  'POST /clients': {
    path: '/clients',
    body: { name: 'new', role: 'reader', grants: [{ integration: 'none', account: '*' }] },
    expected: OPERATORS_404,
  },
  'PUT /clients/:client/grants': {
    path: '/clients/nobody/grants',
    body: { grants: [] },
    expected: OPERATORS_404,
  },
  'POST /clients/:client/keys': {
    path: '/clients/nobody/keys',
    body: {},
    expected: OPERATORS_404,
  },
  'DELETE /clients/:client/keys/:key': {
    path: '/clients/nobody/keys/0123456789',
    expected: OPERATORS_404,
  },
  'DELETE /clients/:client': { path: '/clients/nobody', expected: OPERATORS_404 },
  'GET /endpoints': { path: '/endpoints', expected: OPERATORS_200 },
  'POST /endpoints': {
    path: '/endpoints',
    body: { name: 'new', kind: 'slack' },
    expected: [401, 403, 403, 403, 400],
  },
  'GET /endpoints/:endpoint': { path: '/endpoints/nobody', expected: OPERATORS_404 },
  'PATCH /endpoints/:endpoint': {
    path: '/endpoints/nobody',
    body: { grouped: true },
    expected: OPERATORS_404,
  },
  'DELETE /endpoints/:endpoint': { path: '/endpoints/nobody', expected: OPERATORS_404 },
  'POST /endpoints/:endpoint/rotate-secret': {
    path: '/endpoints/nobody/rotate-secret',
    expected: OPERATORS_404,
  },
  'POST /endpoints/:endpoint/test': { path: '/endpoints/nobody/test', expected: OPERATORS_404 },
  'POST /endpoints/:endpoint/disable': {
    path: '/endpoints/nobody/disable',
    expected: OPERATORS_404,
  },
  'POST /endpoints/:endpoint/enable': { path: '/endpoints/nobody/enable', expected: OPERATORS_404 },
  'GET /endpoints/:endpoint/deliveries': {
    path: '/endpoints/nobody/deliveries',
    expected: OPERATORS_404,
  },
  'POST /endpoints/:endpoint/deliveries/:delivery/resend': {
    path: '/endpoints/nobody/deliveries/1/resend',
    expected: OPERATORS_404,
  },
}

const CALLBACK = '/api/v1/integrations/amo-crm/callback'
/** Routes of the public listener. They ignore keys. */
const PUBLIC: Record<string, { path: string; status: number }> = {
  'GET /health/live': { path: '/health/live', status: 200 },
  'GET /health/ready': { path: '/health/ready', status: 200 },
  'GET /connect/:link': { path: '/connect/nothing', status: 404 },
  'GET /onboarding/:id': {
    path: '/onboarding/00000000-0000-4000-8000-000000000000',
    status: 404,
  },
  'GET /onboarding/again/:link': { path: '/onboarding/again/no-such-link', status: 400 },
  'GET /onboarding/problems/:code': { path: '/onboarding/problems/no_code', status: 404 },
  'GET /hooks/disconnect': {
    path: `/hooks/disconnect?account_id=1&client_uuid=${CLIENT_ID}&signature=${'0'.repeat(64)}`,
    status: 403,
  },
  'POST /hooks/secrets': { path: '/hooks/secrets', status: 400 },
  'GET /*': { path: `${CALLBACK}?code=canary`, status: 303 },
}

t.test('every route × every kind of key, on both listeners', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t, { env: { HEARTBEAT_MS: '1000' } })
  const asker = fromManyAddresses(t, 10)
  const keys: Record<Kind, string | undefined> = {
    none: undefined,
    wrong: 'amo_broker_0123456789_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
    revoked: await makeRevoked(broker, 'revoked'),
    expired: await makeExpired(broker, databaseUrl, 'expired'),
    ungranted: await makeClient(broker, 'ungranted', 'reader', [
      { integration: 'amocrm', account: '4711' },
    ]),
    reader: await makeClient(broker, 'reader', 'reader', [
      { integration: 'amocrm', account: 'demo' },
    ]),
    monitor: await makeClient(broker, 'monitor', 'monitor'),
    operator: await makeClient(broker, 'second-operator', 'operator'),
  }
  const columns: Kind[] = ['none', 'ungranted', 'reader', 'monitor', 'operator']
  const headersOf = (kind: Kind): Record<string, string> =>
    keys[kind] === undefined ? {} : { authorization: `Bearer ${keys[kind]}` }
  const routes = await routesOf()
  const internal = routes('GET /tokens/:account')
  const open = routes('GET /connect/:link')

  await t.test('the table lists every route and no other', async (t) => {
    const named = (table: object) => Object.keys(table).map((name) => name.split(',')[0] ?? '')
    // test/console-access.test.ts tries the pages of the console.
    const registered = (list: string[]) =>
      list.filter((route) => !route.startsWith('HEAD ') && !isConsole(route))
    t.ok(internal.length > 10 && open.length > 3)
    t.same([...new Set(named(INTERNAL))].sort(), [...new Set(registered(internal))].sort())
    t.same([...new Set(named(PUBLIC))].sort(), [...new Set(registered(open))].sort())
    for (const route of [...internal, ...open].filter((each) => each.startsWith('HEAD '))) {
      const shown = route.replace('HEAD', 'GET').replace(/(\S)\/$/, '$1')
      t.ok([...internal, ...open].includes(shown), route)
    }
  })

  for (const [route, { path, body, expected }] of Object.entries(INTERNAL)) {
    await t.test(`internal ${route}`, async (t) => {
      const [name = ''] = route.split(',')
      const [method = ''] = name.split(' ')
      const methods = method === 'GET' ? ['GET', 'HEAD'] : [method]
      for (const each of methods) {
        for (const kind of Object.keys(keys) as Kind[]) {
          const status = expected[Math.max(0, columns.indexOf(kind))]
          const answer = await asker(broker.url, each, path, headersOf(kind), body)
          t.equal(answer.status, status, `${each} ${kind}: ${JSON.stringify(answer.body)}`)
        }
      }
    })
  }

  await t.test(
    'internal, malformed input: 403 without the role, and no validation message',
    async (t) => {
      // The body of a report decides whether it needs the role, so it is read first.
      const restricted = Object.entries(INTERNAL).filter(
        ([route, { expected }]) => expected[2] === 403 && !route.includes('by force'),
      )
      t.ok(restricted.length > 30)
      for (const [route, { path, expected }] of restricted) {
        const [method = ''] = route.split(' ')
        const malformed = [
          [`${path}?nonsense=1&after=%00&before=1e999&integration=_`, { nonsense: 1 }],
          [path, 'a string'],
        ] as const
        const refused = (['ungranted', 'reader', 'monitor'] as const).filter(
          (kind) => expected[columns.indexOf(kind)] === 403,
        )
        for (const [target, body] of malformed) {
          const sent = method === 'GET' ? undefined : body
          for (const kind of refused) {
            const answer = await asker(broker.url, method, target, headersOf(kind), sent)
            t.match(answer, { status: 403, body: { code: 'forbidden' } }, `${kind} ${route}`)
          }
          const { status } = await asker(broker.url, method, target, headersOf('none'), sent)
          t.equal(status, 401, route)
        }
      }
      const outcomes = await query(
        databaseUrl,
        `select distinct action, outcome from amo_audit where outcome <> 'forbidden' and actor in ('ungranted', 'reader', 'monitor')
       and action not in ('readToken', 'reportToken', 'listAccounts', 'showAccount', 'accountHealth',
         'listEvents', 'streamEvents', 'listAttempts', 'forecastRefreshes',
         'createSignInLink')
       and times = 1 and outcome <> 'not_modified'`,
      )
      t.same(outcomes, [], 'and the audit says so')
    },
  )

  await t.test('internal, malformed input: the operator gets the validation message', async (t) => {
    for (const [method, path, body] of [
      ['POST', '/accounts/import', { nonsense: 1 }],
      ['POST', '/buttons', { nonsense: 1 }],
      ['GET', '/audit?nonsense=1', undefined],
      ['POST', '/accounts/demo/pause?nonsense=1', undefined],
    ] as const) {
      const answer = await asker(broker.url, method, path, headersOf('operator'), body)
      t.match(answer, { status: 400, body: { code: 'bad_request' } }, path)
    }
  })

  await t.test('public: keys are ignored', async (t) => {
    for (const [route, { path, status }] of Object.entries(PUBLIC)) {
      for (const kind of Object.keys(keys) as Kind[]) {
        const [method = ''] = route.split(' ')
        const answer = await asker(broker.publicUrl, method, path, headersOf(kind))
        t.equal(answer.status, status, `${route} ${kind}`)
      }
    }
    const internalOnly = Object.entries(INTERNAL).filter(([route]) => !(route in PUBLIC))
    for (const [route, { path, body }] of internalOnly) {
      const [method = ''] = route.split(' ')
      const answer = await asker(broker.publicUrl, method, path, headersOf('operator'), body)
      t.equal(answer.status, 404, route)
    }
  })

  await t.test('a body: none where none is needed, and JSON only', async (t) => {
    const bodied = Object.entries(INTERNAL).filter(([route]) => !route.startsWith('GET '))
    t.ok(bodied.length > 20)
    for (const [route, { path, body, expected }] of bodied) {
      const [name = ''] = route.split(',')
      const [method = ''] = name.split(' ')
      const isNeeded = body !== undefined && Object.keys(body as object).length > 0
      for (const type of ['application/json', 'application/x-www-form-urlencoded']) {
        const headers = { ...headersOf('operator'), 'content-type': type }
        const answer = await asker(broker.url, method, path, headers)
        t.equal(answer.status, isNeeded ? 400 : expected[4], `${route}: ${type}`)
        if (isNeeded) t.match(answer.body, { detail: /^The body is empty/ }, route)
      }
      for (const type of ['text/plain', 'application/xml', 'application/x-www-form-urlencoded']) {
        const response = await fetch(broker.url + path, {
          method,
          headers: { ...headersOf('operator'), 'content-type': type },
          body: '{}',
        })
        t.equal(response.status, 415, `${route}: ${type}`)
        t.match(await response.json(), { code: 'unsupported_media_type' })
      }
    }
  })

  await t.test(
    'GET /accounts: readers see their grants, monitors and operators all accounts',
    async (t) => {
      const seenBy = async (kind: Kind) => {
        const { body } = await asker(broker.url, 'GET', '/accounts', headersOf(kind))
        return body.accounts.map(({ domain }: { domain: string }) => domain)
      }
      t.same(await seenBy('reader'), ['demo.amocrm.ru'])
      t.same(await seenBy('ungranted'), [])
      t.same(await seenBy('monitor'), ['demo.amocrm.ru'])
      t.same(await seenBy('operator'), ['demo.amocrm.ru'])
    },
  )

  await t.test('403: the same response whether the account exists or not', async (t) => {
    const shapes = new Set<string>()
    for (const name of ['demo', 'nobody', 'demo.amocrm.ru', 'nobody.amocrm.ru', '999']) {
      for (const path of [
        `/tokens/${name}`,
        `/accounts/${name}`,
        `/tokens/${name}?integration=x`,
      ]) {
        const { status, body } = await asker(broker.url, 'GET', path, headersOf('ungranted'))
        const { request_id, ...rest } = body
        shapes.add(`${status} ${JSON.stringify(rest).replaceAll(name, 'NAME')}`)
      }
    }
    t.equal(shapes.size, 1, [...shapes].join('\n'))
  })
})

t.test('clients: keys, grants and their changes', async (t) => {
  const { broker, databaseUrl, row } = await startBrokerWithSandbox(t)
  const asker = fromManyAddresses(t, 11)
  const operator = { authorization: `Bearer ${OPERATOR_KEY}` }
  const reads = async (key: string) =>
    (await asker(broker.url, 'GET', '/tokens/demo', { authorization: `Bearer ${key}` })).status

  await t.test('POST /clients 201: the key is shown once and stored as a hash', async (t) => {
    const grants = [{ integration: 'amocrm', account: 'Demo.amocrm.ru' }]
    const order = { name: 'shop', role: 'reader', grants, expires_in_days: 1 }
    const { status, body } = await broker.post('/clients', order)
    t.equal(status, 201)
    t.match(body.key, new RegExp(`^amo_broker_${body.key_id}_[\\w-]{43}$`))
    const { accountId } = await row()
    t.same(body.client.grants, [{ integration: 'amocrm', account: String(accountId) }])
    const lifetimeMs = Date.parse(body.client.keys[0].expires_at) - Date.now()
    t.ok(Math.abs(lifetimeMs - 86_400_000) < 5_000)
    t.equal(await reads(body.key), 200)
    // Not split at `_`, which the secret itself may contain.
    const secret = body.key.slice(-43)
    const stored = JSON.stringify(await query(databaseUrl, 'select * from amo_clients'))
    const listed = JSON.stringify((await broker.get('/clients')).body)
    t.match(stored, body.key_id)
    t.match(listed, body.key_id)
    t.notOk(stored.includes(secret) || listed.includes(secret) || broker.log().includes(secret))
  })

  await t.test('POST /clients 409, 404, 400: invalid requests', async (t) => {
    const reader = { name: 'x', role: 'reader' }
    const grant = (account: string, integration = 'amocrm') => [{ integration, account }]
    for (const [status, order] of [
      [409, { ...reader, name: 'shop' }],
      [409, { ...reader, name: 'operator' }],
      [404, { ...reader, grants: grant('nobody') }],
      [404, { ...reader, grants: grant('*', 'none') }],
      [400, { ...reader, grants: grant('..') }],
      [400, { ...reader, grants: grant('0') }],
      [400, { ...reader, name: 'Big' }],
      [400, { ...reader, role: 'root' }],
      [400, { ...reader, nonsense: 1 }],
      [400, { name: 'x', role: 'monitor', grants: grant('demo') }],
    ] as const) {
      t.equal((await broker.post('/clients', order)).status, status, JSON.stringify(order))
    }
  })

  await t.test(
    'grant on *: 200 for the integration’s accounts, 404 for unknown ones, 403 elsewhere',
    async (t) => {
      const key = await makeClient(broker, 'wide', 'reader', [
        { integration: 'amocrm', account: '*' },
      ])
      const headers = { authorization: `Bearer ${key}` }
      const status = async (path: string) => (await asker(broker.url, 'GET', path, headers)).status
      t.equal(await status('/tokens/demo'), 200)
      t.equal(await status('/tokens/demo?integration=amocrm'), 200)
      t.equal(await status('/tokens/nobody?integration=amocrm'), 404)
      t.equal(await status('/tokens/demo?integration=kommo'), 403)
    },
  )

  await t.test('POST /clients/:client/keys: at most two keys are valid', async (t) => {
    const first = await makeClient(broker, 'rotating', 'reader', [
      { integration: 'amocrm', account: 'demo' },
    ])
    const next = async (body: object) =>
      (await broker.post('/clients/rotating/keys', body)).body.key as string
    const second = await next({})
    t.same([await reads(first), await reads(second)], [200, 200])
    const third = await next({ overlap_seconds: 60 })
    t.same([await reads(first), await reads(second), await reads(third)], [401, 200, 200])
    const fourth = await next({ overlap_seconds: 0 })
    t.same([await reads(second), await reads(third), await reads(fourth)], [401, 401, 200])
    const path = `/clients/rotating/keys/${fourth.split('_')[2]}`
    t.equal((await asker(broker.url, 'DELETE', path, operator)).status, 204)
    t.equal(await reads(fourth), 401)
    t.equal((await asker(broker.url, 'DELETE', path, operator)).status, 404)
  })

  await t.test('PUT /clients/:client/grants: takes effect at once', async (t) => {
    const key = await makeClient(broker, 'moving', 'reader')
    const grants = (list: object[]) =>
      asker(broker.url, 'PUT', '/clients/moving/grants', operator, { grants: list })
    t.equal(await reads(key), 403)
    t.equal((await grants([{ integration: 'amocrm', account: 'demo' }])).status, 200)
    t.equal(await reads(key), 200)
    t.equal((await grants([])).status, 200)
    t.equal(await reads(key), 403)
  })

  await t.test('a grant changed in psql takes effect', async (t) => {
    const key = await makeClient(broker, 'by-hand', 'reader', [
      { integration: 'amocrm', account: 'demo' },
    ])
    t.equal(await reads(key), 200)
    await query(databaseUrl, `update amo_clients set "revokedAt" = now() where name = 'by-hand'`)
    await until(async () => (await reads(key)) === 401, 1_000)
  })

  await t.test('401: a cached key that has expired', async (t) => {
    const key = await makeClient(broker, 'ending', 'reader', [
      { integration: 'amocrm', account: 'demo' },
    ])
    await query(
      databaseUrl,
      `update amo_clients set keys = jsonb_set(keys, '{0,expiresAt}', to_jsonb(clock_timestamp() + interval '6 seconds'))
       where name = 'ending'`,
    )
    await signClient(databaseUrl, 'ending')
    await until(async () => (await reads(key)) === 200, 5_000)
    await until(async () => (await reads(key)) === 401, 8_000)
    t.pass('it has expired')
  })

  await t.test('401: a stored hash that differs only at its end', async (t) => {
    const key = await makeClient(broker, 'nearly', 'reader', [
      { integration: 'amocrm', account: 'demo' },
    ])
    t.equal(await reads(key), 200)
    await query(
      databaseUrl,
      `update amo_clients set keys = jsonb_set(keys, '{0,hash}',
         to_jsonb(overlay(keys->0->>'hash' placing '__' from length(keys->0->>'hash') - 1)))
       where name = 'nearly'`,
    )
    await signClient(databaseUrl, 'nearly')
    await until(async () => (await reads(key)) === 401, 1_000)
  })

  await t.test('401: a hash that was written into the table by hand is not accepted', async (t) => {
    const forged = `amo_broker_ffffffffff_${'A'.repeat(43)}`
    const sha256 = createHash('sha256').update(forged).digest('base64url')
    const key = { id: 'ffffffffff', hash: sha256, createdAt: '', expiresAt: null }
    await query(
      databaseUrl,
      `insert into amo_clients (name, role, keys, mac) values ('forged', 'operator', $1, '')`,
      [JSON.stringify([key])],
    )
    await signClient(databaseUrl, 'forged')
    const listed = await broker.get('/clients')
    t.ok(listed.body.clients.some(({ name }: { name: string }) => name === 'forged'))
    t.equal(await reads(forged), 401, 'a valid hash can only be made with ENCRYPTION_KEYS')
  })
})
