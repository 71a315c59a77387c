import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { Agent, request } from 'undici'
import { OPERATOR_KEY, until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { underLoad } from './support/under-load.ts'

/** Writes bytes to a listener and returns its whole response. */
function raw(url: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.end(bytes)
  return text(socket)
}

t.test(
  'bytes that are no HTTP request get a problem document that repeats none of them',
  async (t) => {
    const { broker } = await startBrokerWithSandbox(t, { connect: false })
    const junk = [
      'canary\r\n\r\n',
      'GET / HTTP/9.9\r\nhost: x\r\n\r\n',
      'GET / HTTP/1.1\r\nhost: x\r\ncanary\r\n\r\n',
      `GET / HTTP/1.1\r\nhost: x\r\ncanary: ${'x'.repeat(40_000)}\r\n\r\n`,
      'POST /connect-links HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\ncanary\r\n',
    ]
    for (const url of [broker.url, broker.publicUrl]) {
      for (const bytes of junk) {
        const answer = await raw(url, bytes)
        t.match(answer, /^HTTP\/1\.1 4\d\d /, bytes.slice(0, 30))
        t.notMatch(answer, /canary|x{20}/)
      }
      t.match(
        await raw(url, 'canary\r\n\r\n'),
        /application\/problem\+json[\s\S]*"code":"bad_request"/,
      )
    }
    t.notMatch(broker.log(), /canary/)
    t.equal((await broker.get('/health/live')).status, 200)
  },
)

t.test('no variant of a path avoids the key', async (t) => {
  const { broker } = await startBrokerWithSandbox(t)
  const paths = [
    '/tokens/demo',
    '/tokens/demo/',
    '//tokens/demo',
    '/TOKENS/demo',
    '/tokens/demo?x=1',
    '/accounts',
    '/accounts/demo',
    '/health/accounts',
    `/tokens/${'a'.repeat(200)}`,
  ]
  for (const path of paths) {
    for (const method of ['GET', 'HEAD', 'POST', 'OPTIONS', 'PUT', 'DELETE']) {
      const { status, headers } = await fetch(broker.url + path, { method })
      t.ok(status === 401 || status === 404, `${method} ${path}: ${status}`)
      t.equal(headers.get('access-control-allow-origin'), null)
    }
  }
  for (const path of ['/tokens/demo', '/accounts', '/docs', '/openapi.json', '/connect-links']) {
    const headers = { authorization: `Bearer ${OPERATOR_KEY}` }
    t.equal((await fetch(broker.publicUrl + path, { headers })).status, 404, `public ${path}`)
  }
})

t.test(
  'SIGTERM: not ready at once, still serving for DRAIN_MS, then gone with code 0',
  async (t) => {
    const { broker } = await startBrokerWithSandbox(t, {
      ownProcess: true,
      env: { DRAIN_MS: '1500' },
    })
    const ended = broker.stop('SIGTERM')
    await until(async () => (await broker.get('/health/ready')).status === 503)
    t.match((await broker.get('/health/ready')).body, { status: 'draining' })
    const { status, headers } = await broker.get('/tokens/demo')
    t.equal(status, 200)
    t.equal(headers.get('connection'), 'close')
    t.equal(await ended, 0)
  },
)

t.test('SIGTERM ends a connection that falls idle while the listeners close', async (t) => {
  const stage = await startBrokerWithSandbox(t, {
    ownProcess: true,
    env: { READ_WAIT_MS: '3000' },
  })
  stage.sandbox.world.faults.set([
    { fault: 'delay_before_spend', delay_ms: 1_500, times: 1, endpoint: 'token' },
  ])
  await stage.makeDue()
  await until(() => stage.sandbox.world.books.totals.tokenCalls === 2)
  const agent = new Agent({ keepAliveTimeout: 600_000, keepAliveMaxTimeout: 600_000 })
  t.teardown(() => agent.destroy())
  const asked = request(`${stage.broker.url}/tokens/demo`, {
    dispatcher: agent,
    headers: { authorization: `Bearer ${OPERATOR_KEY}` },
  })
  // In flight: it waits for the refresh.
  await delay(300)
  const beganMs = performance.now()
  const ended = stage.broker.stop('SIGTERM')
  const answer = await asked
  t.equal(answer.statusCode, 200, 'the request under way is answered')
  await answer.body.text()
  t.equal(await ended, 0)
  t.ok(
    performance.now() - beganMs < underLoad(12_000),
    'long before keep-alive would end the connection',
  )
})
