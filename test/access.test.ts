import { createHash } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { openapiDocuments } from '../src/cli/openapi-documents.ts'
import { CLIENT_ID, OPERATOR_KEY, until } from './support/broker.ts'
import { fromManyAddresses, makeClient, makeExpired, makeRevoked } from './support/clients.ts'
import { query } from './support/database.ts'
import { setStage } from './support/stage.ts'

/** Who asks: a client that was granted the account "demo", one that was granted another, and so on. */
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
  /** Of the request that stands for the route. */
  path: string
  body?: unknown
  /** With no valid key, then reader without grant, reader, monitor, operator. */
  expected: readonly [number, number, number, number, number]
}

const OPEN = [200, 200, 200, 200, 200] as const
const ALL = [401, 200, 200, 200, 200] as const
const GRANTED = [401, 403, 200, 403, 200] as const
const OPERATORS_200 = [401, 403, 403, 403, 200] as const
/** The operator's request is let through, to find that there is nothing. */
const OPERATORS_404 = [401, 403, 403, 403, 404] as const

/** Internal listener: every route, what it answers to whom. A route that is missing here fails the test. */
const INTERNAL: Record<string, Row> = {
  'GET /health/live': { path: '/health/live', expected: OPEN },
  'GET /health/ready': { path: '/health/ready', expected: OPEN },
  'GET /metrics': { path: '/metrics', expected: OPEN },
  'GET /openapi.json': { path: '/openapi.json', expected: OPEN },
  'GET /docs': { path: '/docs', expected: OPEN },
  'GET /docs/json': { path: '/docs/json', expected: OPEN },
  'GET /docs/yaml': { path: '/docs/yaml', expected: OPEN },
  'GET /docs/static/index.html': {
    path: '/docs/static/index.html',
    expected: [302, 302, 302, 302, 302],
  },
  'GET /docs/static/swagger-initializer.js': {
    path: '/docs/static/swagger-initializer.js',
    expected: OPEN,
  },
  'GET /docs/static/*': { path: '/docs/static/index.css', expected: OPEN },
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
}

const CALLBACK = '/api/v1/integrations/amo-crm/callback'
/** Public listener: the same for everybody, whatever key comes along. */
const PUBLIC: Record<string, { path: string; status: number }> = {
  'GET /health/live': { path: '/health/live', status: 200 },
  'GET /connect/:link': { path: '/connect/nothing', status: 404 },
  'GET /onboarding/:id': {
    path: '/onboarding/00000000-0000-4000-8000-000000000000',
    status: 404,
  },
  'GET /onboarding/problems/:code': { path: '/onboarding/problems/no_code', status: 400 },
  'GET /hooks/disconnect': {
    path: `/hooks/disconnect?account_id=1&client_uuid=${CLIENT_ID}&signature=${'0'.repeat(64)}`,
    status: 403,
  },
  'POST /hooks/secrets': { path: '/hooks/secrets', status: 400 },
  'GET /*': { path: `${CALLBACK}?code=canary`, status: 303 },
}

/** Every route that was registered, of the listener that has `has`. */
async function routesOf(): Promise<(has: string) => string[]> {
  const instances: string[][] = []
  const onInstance = (message: unknown) => {
    const { fastify } = message as { fastify: FastifyInstance }
    const routes: string[] = []
    instances.push(routes)
    fastify.addHook('onRoute', ({ method, url }) => {
      for (const each of [method].flat()) routes.push(`${each} ${url}`)
    })
  }
  subscribe('fastify.initialization', onInstance)
  await openapiDocuments()
  unsubscribe('fastify.initialization', onInstance)
  return (has) => instances.find((routes) => routes.includes(has)) ?? []
}

t.test('every route × every kind of key, on both listeners', async (t) => {
  const { broker, databaseUrl } = await setStage(t, { env: { HEARTBEAT_MS: '1000' } })
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

  await t.test('the table has every route, and no other', async (t) => {
    const named = (table: object) => Object.keys(table).map((name) => name.split(',')[0] ?? '')
    const registered = (list: string[]) => list.filter((route) => !route.startsWith('HEAD '))
    t.ok(internal.length > 10 && open.length > 3)
    t.same([...new Set(named(INTERNAL))].sort(), [...new Set(registered(internal))].sort())
    t.same([...new Set(named(PUBLIC))].sort(), [...new Set(registered(open))].sort())
    for (const route of [...internal, ...open].filter((each) => each.startsWith('HEAD '))) {
      const shown = route.replace('HEAD', 'GET').replace(/(.)\/$/, '$1')
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

  await t.test('public: no key opens or closes anything', async (t) => {
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

  await t.test('GET /accounts: within the grants, for monitors and operators all', async (t) => {
    const seenBy = async (kind: Kind) => {
      const { body } = await asker(broker.url, 'GET', '/accounts', headersOf(kind))
      return body.accounts.map(({ domain }: { domain: string }) => domain)
    }
    t.same(await seenBy('reader'), ['demo.amocrm.ru'])
    t.same(await seenBy('ungranted'), [])
    t.same(await seenBy('monitor'), ['demo.amocrm.ru'])
    t.same(await seenBy('operator'), ['demo.amocrm.ru'])
  })

  await t.test('403: the same whether the account exists or not', async (t) => {
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
  const { broker, databaseUrl, row } = await setStage(t)
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
    // Not cut at `_`, which may stand in the secret itself.
    const secret = body.key.slice(-43)
    const stored = JSON.stringify(await query(databaseUrl, 'select * from amo_clients'))
    const listed = JSON.stringify((await broker.get('/clients')).body)
    t.match(stored, body.key_id)
    t.match(listed, body.key_id)
    t.notOk(stored.includes(secret) || listed.includes(secret) || broker.log().includes(secret))
  })

  await t.test('POST /clients 409, 404, 400: what cannot be', async (t) => {
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
    '* of an integration: its accounts, 404 for others of it, 403 elsewhere',
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

  await t.test('POST /clients/:client/keys: two are valid, and never three', async (t) => {
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

  await t.test('PUT /clients/:client/grants: holds at once, both ways', async (t) => {
    const key = await makeClient(broker, 'moving', 'reader')
    const grants = (list: object[]) =>
      asker(broker.url, 'PUT', '/clients/moving/grants', operator, { grants: list })
    t.equal(await reads(key), 403)
    t.equal((await grants([{ integration: 'amocrm', account: 'demo' }])).status, 200)
    t.equal(await reads(key), 200)
    t.equal((await grants([])).status, 200)
    t.equal(await reads(key), 403)
  })

  await t.test('changed in psql: heard of', async (t) => {
    const key = await makeClient(broker, 'by-hand', 'reader', [
      { integration: 'amocrm', account: 'demo' },
    ])
    t.equal(await reads(key), 200)
    await query(databaseUrl, `update amo_clients set "revokedAt" = now() where name = 'by-hand'`)
    await until(async () => (await reads(key)) === 401, 1_000)
  })

  await t.test('401: a key that was recognised a moment ago and has expired since', async (t) => {
    const key = await makeClient(broker, 'ending', 'reader', [
      { integration: 'amocrm', account: 'demo' },
    ])
    await query(
      databaseUrl,
      `update amo_clients set keys = jsonb_set(keys, '{0,expiresAt}', to_jsonb(clock_timestamp() + interval '2 seconds'))
       where name = 'ending'`,
    )
    t.equal(await reads(key), 200)
    await until(async () => (await reads(key)) === 401, 4_000)
  })

  await t.test('401: a stored hash that differs in its end', async (t) => {
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
    await until(async () => (await reads(key)) === 401, 1_000)
  })

  await t.test('401: a hash that was written into the table by hand opens nothing', async (t) => {
    const forged = `amo_broker_ffffffffff_${'A'.repeat(43)}`
    const sha256 = createHash('sha256').update(forged).digest('base64url')
    const key = { id: 'ffffffffff', hash: sha256, createdAt: '', expiresAt: null }
    await query(
      databaseUrl,
      `insert into amo_clients (name, role, keys) values ('forged', 'operator', $1)`,
      [JSON.stringify([key])],
    )
    const listed = await broker.get('/clients')
    t.ok(listed.body.clients.some(({ name }: { name: string }) => name === 'forged'))
    t.equal(await reads(forged), 401, 'the hash is keyed: ENCRYPTION_KEYS are needed to make one')
  })
})
