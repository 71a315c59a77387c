import { once } from 'node:events'
import { request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { OPERATOR_KEY, until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { ask, makeClient } from './support/clients.ts'
import { query } from './support/database.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const TRACEPARENT = `00-${TRACE}-00f067aa0ba902b7-01`

t.test('requests: ids, and what is wrong with them', async (t) => {
  const { broker, sandbox, databaseUrl, connectedAs } = await startBrokerWithSandbox(t)
  const linesOf = (id: string) =>
    broker
      .log()
      .split('\n')
      .filter((line) => line.includes(`"request_id":"${id}"`))

  await t.test('X-Request-Id: returned, and in every log line of the request', async (t) => {
    const id = 'shop.42:retry-1'
    const read = await broker.get('/tokens/demo', { 'x-request-id': id })
    t.equal(read.status, 200)
    t.equal(read.headers.get('x-request-id'), id)
    const again = await broker.get('/tokens/demo', { 'x-request-id': `${id}b` })
    t.equal(again.headers.get('x-request-id'), `${id}b`, 'a hit too')
    const missing = await broker.get('/tokens/nobody', { 'x-request-id': id })
    t.match(missing.body, { code: 'account_not_found', request_id: id })
    t.equal(missing.headers.get('x-request-id'), id)
    const account = sandbox.world.directory.findAccount('demo', 'amocrm')
    const integration = [...sandbox.world.directory.integrations.values()][0]
    if (account === undefined || integration === undefined) throw new Error('nobody')
    const pair = sandbox.world.grants.mintPair(account, integration)
    const { status } = await ask(
      broker.url,
      'POST',
      '/accounts/import',
      { authorization: `Bearer ${OPERATOR_KEY}`, 'x-request-id': 'import-1' },
      {
        integration: 'amocrm',
        domain: 'demo',
        access_token: pair.accessToken,
        refresh_token: pair.refreshToken,
      },
    )
    t.equal(status, 409)
    await broker.post('/tokens/demo/refresh', { generation: connectedAs })
    const reported = await ask(
      broker.url,
      'POST',
      '/tokens/demo/refresh',
      { authorization: `Bearer ${OPERATOR_KEY}`, 'x-request-id': 'report-1' },
      { generation: 987_654 },
    )
    t.equal(reported.status, 400)
    const lines = linesOf('report-1')
    t.ok(
      lines.some((line) => line.includes('reported generation is unknown')),
      'a line of a feature',
    )
    await until(() => linesOf('report-1').some((line) => line.includes('request answered')))
  })

  await t.test('X-Request-Id: returned whatever the response is', async (t) => {
    const id = 'any-1'
    const key = `Bearer ${OPERATOR_KEY}`
    const read = await broker.get('/tokens/demo')
    for (const [path, headers, status] of [
      ['/tokens/demo', { 'if-none-match': String(read.headers.get('etag')) }, 304],
      ['/tokens/demo', { authorization: 'Bearer wrong' }, 401],
      ['/tokens/demo?min_ttl=x', {}, 400],
      ['/nothing', {}, 404],
      ['/%zz', {}, 400],
      ['/', {}, 302],
      ['/docs', {}, 200],
      ['/events/stream', {}, 200],
    ] as const) {
      const answer = await fetch(broker.url + path, {
        headers: { authorization: key, 'x-request-id': id, ...headers },
        redirect: 'manual',
      })
      await answer.body?.cancel()
      t.equal(answer.status, status, path)
      t.equal(answer.headers.get('x-request-id'), id, `${status} ${path}`)
    }
  })

  await t.test('X-Request-Id: in the lines of a refresh that a read has started', async () => {
    // The promise has ended, and the schedule does not look before the next hour.
    await query(
      databaseUrl,
      `update amo_tokens set "expiresAt" = now() + interval '1 hour',
         "refreshAt" = now() - interval '1 second', "nextAttemptAt" = now() + interval '1 hour'`,
    )
    // Until the broker has heard of the change, the old token is a hit.
    await until(async () => {
      const { body } = await broker.get('/tokens/demo', { 'x-request-id': 'read-1' })
      return body.generation > connectedAs
    })
    await until(() => linesOf('read-1').some((line) => line.includes('token pair stored')))
  })

  await t.test('X-Request-Id: also when the body arrives after the head', async (t) => {
    const { generation } = (await broker.get('/tokens/demo')).body
    const slow = request(`${broker.url}/tokens/demo/refresh`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${OPERATOR_KEY}`,
        'content-type': 'application/json',
        'x-request-id': 'report-2',
      },
    })
    slow.flushHeaders()
    await delay(100)
    slow.end(JSON.stringify({ generation }))
    const [answer] = await once(slow, 'response')
    t.equal(answer.resume().statusCode, 200)
    await until(() => linesOf('report-2').some((line) => line.includes('access token reported')))
  })

  await t.test('traceparent: its trace id, beside an id of the caller’s own', async (t) => {
    const traced = await broker.get('/tokens/nobody', { traceparent: TRACEPARENT })
    t.equal(traced.headers.get('x-request-id'), TRACE)
    t.equal(traced.body.request_id, TRACE)
    const both = await broker.get('/tokens/nobody', {
      traceparent: TRACEPARENT,
      'x-request-id': 'both-1',
    })
    t.equal(both.headers.get('x-request-id'), 'both-1')
    // A hit and a read that is refused do not run in the context of their request. Their lines have
    // the trace all the same.
    for (const path of ['/tokens/demo', '/tokens/demo?min_ttl=x', '/accounts']) {
      const id = `both${path}`.replaceAll(/[^a-z]/g, '-')
      await broker.get(path, { traceparent: TRACEPARENT, 'x-request-id': id })
      await until(() => linesOf(id).some((line) => line.includes('request answered')))
      t.ok(
        linesOf(id).every((line) => line.includes(`"trace_id":"${TRACE}"`)),
        path,
      )
    }
    t.ok(linesOf('both-1').every((line) => line.includes(`"trace_id":"${TRACE}"`)))
  })

  await t.test('an id that is malformed is replaced', async (t) => {
    const zeros = `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`
    for (const headers of [
      { 'x-request-id': 'a b' },
      { 'x-request-id': '{"a":1}' },
      { 'x-request-id': 'x'.repeat(129) },
      { 'x-request-id': '' },
      { traceparent: zeros },
      { traceparent: `${TRACEPARENT}x` },
    ]) {
      const { headers: sent } = await broker.get('/tokens/demo', headers)
      t.match(sent.get('x-request-id'), /^[0-9a-f]{16}-[0-9a-z]+$/, JSON.stringify(headers))
    }
    const open = await fetch(`${broker.publicUrl}/connect/x`, {
      headers: { 'x-request-id': 'public-1' },
    })
    t.equal(open.headers.get('x-request-id'), 'public-1')
  })

  await t.test('a sentence that names the field, no jargon of the validator', async (t) => {
    for (const [path, body, detail] of [
      ['/tokens/demo/refresh', {}, 'Send generation or force in the body.'],
      ['/tokens/demo/refresh', { generation: 'x' }, 'generation: it must be an integer.'],
      ['/tokens/demo/refresh', { generation: 0 }, 'generation: it must be 1 or more.'],
      ['/connect-links', {}, 'integration: it is missing.'],
      ['/connect-links', { integration: 'amocrm', x: 1 }, 'x: the body has no such field.'],
      ['/connect-links', [], 'The body: it must be a JSON object.'],
      [
        '/clients',
        { name: 'a', role: 'boss' },
        'role: it must be one of reader, monitor, operator.',
      ],
      [
        '/clients',
        { name: 'a', role: 'reader', grants: [{ integration: 'x' }] },
        'grants[0].account: it is missing.',
      ],
    ] as const) {
      t.match(await broker.post(path, body), { status: 400, body: { detail } }, detail)
    }
    const both = await broker.post('/tokens/demo/refresh', { generation: 1, force: true })
    t.match(both.body.detail, /not both/)
    const unread = await fetch(`${broker.url}/connect-links`, {
      method: 'POST',
      headers: { authorization: `Bearer ${OPERATOR_KEY}`, 'content-type': 'application/json' },
      body: '{"integration":',
    })
    t.match(await unread.json(), { detail: 'The body is not valid JSON.' })
  })

  await t.test('404: an integration that is misspelt, where the caller may know', async (t) => {
    for (const path of ['/tokens/demo', '/accounts/demo', '/tokens/nobody']) {
      t.match(await broker.get(`${path}?integration=misspelt`), {
        status: 404,
        body: { code: 'integration_not_found', detail: /"misspelt"/, remedy: /integration/ },
      })
    }
    t.match(await broker.get('/tokens/nobody?integration=amocrm'), {
      status: 404,
      body: { code: 'account_not_found' },
    })
    const key = await makeClient(broker, 'narrow', 'reader', [
      { integration: 'amocrm', account: 'demo' },
    ])
    const headers = { authorization: `Bearer ${key}` }
    t.equal((await broker.get('/tokens/demo?integration=misspelt', headers)).status, 403)
    const role = await broker.get('/integrations', headers)
    t.match(role, { status: 403, body: { remedy: /role operator/ } })
  })
})

t.test('reports are counted by client, and one probe answers all', async (t) => {
  const { broker, sandbox } = await startBrokerWithSandbox(t)
  const keyOf = (name: string) =>
    makeClient(broker, name, 'reader', [{ integration: 'amocrm', account: '*' }])
  const [first, second, third] = [await keyOf('first'), await keyOf('second'), await keyOf('third')]
  const report = (key: string, generation: number) =>
    ask(
      broker.url,
      'POST',
      '/tokens/demo/refresh',
      { authorization: `Bearer ${key}` },
      { generation },
    )
  const { generation } = (await broker.get('/tokens/demo')).body
  const before = sandbox.world.books.totals.apiCalls
  const statuses: number[] = []
  for (let times = 0; times < 8; times += 1) {
    statuses.push((await report(first, generation)).status)
  }
  t.same(statuses, [200, 200, 200, 200, 200, 200, 429, 429])
  const probes = sandbox.world.books.totals.apiCalls - before
  t.equal(probes, 6)
  const together = sandbox.world.books.totals.apiCalls
  const all = await Promise.all(Array.from({ length: 20 }, () => report(third, generation)))
  t.same([...new Set(all.map(({ status }) => status))], [200], 'of one moment: counted once')
  t.equal(sandbox.world.books.totals.apiCalls - together, 1, 'and answered by one probe')
  const account = sandbox.world.directory.findAccount('demo', 'amocrm')
  t.ok(account && sandbox.world.grants.expire(account, ['access_token']) > 0)
  // What was alive a moment ago says nothing about a report that comes later.
  const rotated = await report(second, generation)
  t.equal(rotated.status, 200)
  t.ok(rotated.body.generation > generation)
  t.equal(sandbox.world.grants.findAccess(rotated.body.access_token)?.state, 'live')
  t.equal(sandbox.world.books.totals.refreshes, 1)
})
