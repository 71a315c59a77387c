import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { Webhook } from 'standardwebhooks'
import t, { type Test } from 'tap'
import { OPERATOR_KEY, startBroker, type TestBroker, until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { runCli } from './support/cli.ts'
import { ask, makeClient } from './support/clients.ts'
import { query } from './support/database.ts'
import { emit, makeEndpoint, PRIVATE, untilDeliveries } from './support/endpoints.ts'
import { freePorts } from './support/ports.ts'
import { answer, BOT_TOKEN, SLACK_PATH, startReceiver, telegram } from './support/receivers.ts'

const operator = { authorization: `Bearer ${OPERATOR_KEY}` }

function change(broker: TestBroker, method: string, path: string, body?: unknown) {
  return ask(broker.url, method, path, operator, body)
}

t.test('endpoints: managed by operators only, audited, and without their secrets', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t, { connect: false })
  const secretUrl = 'https://8.8.8.8/hook/canary-url'
  const created = await broker.post('/endpoints', { name: 'hook', kind: 'webhook', url: secretUrl })
  t.equal(created.status, 201)
  t.match(created.body, {
    endpoint: {
      ...{ name: 'hook', kind: 'webhook', origin: 'https://8.8.8.8', types: null },
      ...{ grouped: false, state: 'active', created_by: 'operator' },
    },
    signing_secret: /^whsec_[A-Za-z0-9+/]{43}=$/,
  })
  const again = await broker.post('/endpoints', { name: 'hook', kind: 'webhook', url: secretUrl })
  t.match(again, { status: 409, body: { code: 'endpoint_exists' } })
  const bot = { name: 'bot', kind: 'telegram', bot_token: BOT_TOKEN, chat_id: '-1', language: 'ru' }
  t.match((await broker.post('/endpoints', bot)).body, {
    endpoint: { origin: 'https://api.telegram.org', grouped: true, language: 'ru' },
    signing_secret: null,
  })
  const shown = [
    await broker.get('/endpoints'),
    await broker.get('/endpoints/hook'),
    await change(broker, 'PATCH', '/endpoints/hook', { types: ['account.removed'] }),
    await change(broker, 'PATCH', '/endpoints/bot', { chat_id: '-2' }),
  ]
  t.same(
    shown.map(({ status }) => status),
    [200, 200, 200, 200],
  )
  t.notMatch(JSON.stringify(shown.map(({ body }) => body)), /canary|whsec|chat_id/)
  t.same(shown[2]?.body.types, ['account.removed'])
  for (const [body, problem] of [
    [{ url: 'http://example.com/' }, /https/],
    [{ url: 'https://127.0.0.1/' }, /not public/],
    [{ url: 'https://8.8.8.8/', chat_id: '5' }, /chat_id/],
    [{}, /./],
    [{ api_origin: 'https://8.8.8.8' }, /api_origin/],
  ] as const) {
    const { status, body: answered } = await change(broker, 'PATCH', '/endpoints/hook', body)
    t.match([status, answered.code, answered.detail], [400, 'bad_request', problem])
  }
  const moved = await change(broker, 'PATCH', '/endpoints/bot', { api_origin: 'https://8.8.4.4' })
  t.match(moved, { status: 400, body: { detail: /bot_token/ } }, 'a token does not move alone')
  for (const role of ['monitor', 'reader'] as const) {
    const headers = { authorization: `Bearer ${await makeClient(broker, role, role)}` }
    for (const [method, path] of [
      ['GET', '/endpoints'],
      ['GET', '/endpoints/hook/deliveries'],
      ['POST', '/endpoints/hook/test'],
      ['DELETE', '/endpoints/hook'],
    ] as const) {
      t.equal((await ask(broker.url, method, path, headers)).status, 403, `${role} ${path}`)
    }
  }
  t.equal((await change(broker, 'DELETE', '/endpoints/bot')).status, 204)
  t.match(await broker.get('/endpoints/bot'), { status: 404, body: { code: 'endpoint_not_found' } })
  const audit = await query(
    databaseUrl,
    `select action, detail->>'endpoint' as name from amo_audit
     where action ~ 'Endpoint$' and outcome = 'done' and actor = 'operator' order by id`,
  )
  t.same(
    audit
      .filter(({ action }) => !/^(list|show)/.test(action))
      .map(({ action, name }) => `${action} ${name}`),
    [
      'createEndpoint hook',
      'createEndpoint bot',
      'changeEndpoint hook',
      'changeEndpoint bot',
      'removeEndpoint bot',
    ],
  )
  const [row] = await query(databaseUrl, `select e::text as text from amo_endpoints e`)
  t.notMatch(row?.text, /canary|whsec/, 'sealed')
})

t.test('rotation: no message is refused, whichever secret the receiver has', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t, { connect: false, env: PRIVATE })
  let secret = ''
  const refused: string[] = []
  const receiver = await startReceiver(t, ({ headers, body }, response) => {
    try {
      new Webhook(secret).verify(body, headers as Record<string, string>)
    } catch (error) {
      refused.push(String(error))
      response.statusCode = 401
    }
    response.end()
  })
  secret = await makeEndpoint(broker, { name: 'hook', url: receiver.origin })
  const deliver = async (account: number) => {
    await emit(databaseUrl, account, 'account.connected')
    await until(() => receiver.received.length === account)
  }
  const rotate = async (overlap?: number) => {
    const body = overlap === undefined ? {} : { overlap_seconds: overlap }
    return (await broker.post('/endpoints/hook/rotate-secret', body)).body
  }
  await deliver(1)
  const rotated = await rotate()
  t.ok(Date.parse(rotated.endpoint.previous_secret_until) > Date.now() + 86_000_000)
  await deliver(2)
  t.same(refused, [], 'the receiver has the old secret')
  secret = rotated.signing_secret
  await deliver(3)
  t.same(refused, [], 'the receiver has the new secret')
  await query(databaseUrl, `update amo_endpoints set "previousUntil" = now()`)
  await deliver(4)
  t.same(refused, [], 'the old secret has ended')
  t.equal(String(receiver.received[3]?.headers['webhook-signature']).split(' ').length, 1)
  await rotate(0)
  await deliver(5)
  t.equal(refused.length, 1, 'without an overlap the old secret ends at once')
})

t.test('amo-broker endpoints', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t, { connect: false, env: PRIVATE })
  const receiver = await startReceiver(t)
  const chat = await startReceiver(t, telegram('-1009'))
  const env = { BROKER_URL: broker.url, BROKER_KEY: OPERATOR_KEY }
  const run = (line: string, input?: string, more = {}) =>
    runCli(['endpoints', ...line.split(' ')], { ...env, ...more }, input)
  const created = await run('create hook --type account.connected', `${receiver.origin}/canary\n`)
  t.equal(created.code, 0, created.err)
  t.match(created.out, /^whsec_\S+\n$/)
  const bot = await run(
    `create duty --kind telegram --chat-id -1009 --language es --api-origin ${chat.origin}`,
    undefined,
    { TELEGRAM_BOT_TOKEN: BOT_TOKEN },
  )
  t.match([bot.code, bot.out], [0, /telegram/], bot.err)
  const listed = await run('list')
  t.match(listed.out, new RegExp(`duty +telegram +${chat.origin} +active`))
  t.notMatch(listed.out, /canary/)
  const tested = await run('test duty')
  t.match([tested.code, tested.out], [0, /^duty took the message: HTTP 200/], tested.err)
  t.match(JSON.parse(chat.received[0]?.body ?? '').text, /Mensaje de prueba.*<code>duty<\/code>/s)
  receiver.respond(answer(500, 'out of order'))
  const failed = await run('test hook')
  t.match([failed.code, failed.out], [1, /server_error, HTTP 500 .*"out of order"/])
  const deliveries = await run('deliveries hook')
  t.match(deliveries.out, /endpoint\.test +- +pending +\d +500 +server_error/)
  await query(databaseUrl, `update amo_deliveries set state = 'failed' where state = 'pending'`)
  receiver.respond(answer(200))
  const [row] = JSON.parse((await run('deliveries hook --state failed --json')).out)
  t.match(row, { state: 'failed', attempts: [{ status: 500, error: 'server_error' }] })
  t.equal((await run(`resend hook ${row.id}`)).code, 0)
  await untilDeliveries(databaseUrl, 'hook', ([each]) => each?.state === 'delivered')
  t.match((await run('rotate-secret hook --overlap-hours 1')).out, /^whsec_\S+\n$/)
  t.match((await run('change hook --all-types --grouped')).out, /types +all/)
  t.match((await run('disable hook')).out, /disabled \(operator\)/)
  const refused = await run('test hook')
  t.match([refused.code, refused.err], [1, /amo-broker endpoints enable/])
  t.match((await run('enable hook')).out, /state +active/)
  t.match((await run('show hook --json')).out, /"previous_secret_until": "2/)
  t.equal((await run('remove hook --yes')).code, 0)
  t.match((await run('show hook')).err, /endpoint_not_found/)
  t.equal((await run('resend duty x')).code, 2)
  t.ok(SLACK_PATH)
})

t.test('embedded storage delivers, too', async (t) => {
  const broker = await startBroker(t, { env: PRIVATE, ownProcess: true })
  const receiver = await startReceiver(t)
  await makeEndpoint(broker, { name: 'hook', url: receiver.origin })
  t.equal((await broker.post('/endpoints/hook/test', undefined)).status, 202)
  await until(() => receiver.received.length === 1)
  await until(async () => {
    const { deliveries } = (await broker.get('/endpoints/hook/deliveries')).body
    return deliveries[0]?.state === 'delivered'
  })
})

const EXAMPLES = join(import.meta.dirname, '..', 'examples', 'webhooks')
const RECEIVERS = {
  'receiver.ts': (_port: number) => [process.execPath, 'receiver.ts'],
  'receiver.py': (_port: number) => ['python3', 'receiver.py'],
  'receiver.php': (port: number) => ['php', '-S', `127.0.0.1:${port}`, 'receiver.php'],
}

/** Starts an example. Returns its output so far. */
async function startExample(t: Test, command: string[], env: Record<string, string>) {
  const [program = '', ...args] = command
  const child = spawn(program, args, {
    cwd: EXAMPLES,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  t.teardown(async () => {
    const ended = once(child, 'exit')
    if (child.kill('SIGKILL')) await ended
  })
  const url = `http://127.0.0.1:${env.PORT}/`
  await until(() =>
    fetch(url, { method: 'POST' }).then(
      () => true,
      () => false,
    ),
  )
  return () => output
}

t.test('examples/webhooks: TypeScript, Python and PHP receive events', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t, { connect: false, env: PRIVATE })
  const ports = await freePorts(3)
  const outputs: Record<string, () => string> = {}
  for (const [index, [name, commandOf]] of Object.entries(RECEIVERS).entries()) {
    const port = ports[index] ?? 0
    const endpoint = name.replace('receiver.', '')
    const secret = await makeEndpoint(broker, { name: endpoint, url: `http://127.0.0.1:${port}/` })
    const env = { WEBHOOK_SECRET: secret, PORT: String(port) }
    outputs[endpoint] = await startExample(t, commandOf(port), env)
    const forged = await fetch(`http://127.0.0.1:${port}/`, {
      method: 'POST',
      headers: {
        ...{ 'webhook-id': 'x', 'webhook-timestamp': String(Math.floor(Date.now() / 1000)) },
        'webhook-signature': `v1,${'A'.repeat(43)}=`,
      },
      body: '{}',
    })
    t.equal(forged.status, 401, `${name} refuses a forged message`)
    // The second signature is the one that the receiver knows.
    await broker.post(`/endpoints/${endpoint}/rotate-secret`, {})
  }
  await emit(databaseUrl, 77, 'account.connected')
  for (const [endpoint, output] of Object.entries(outputs)) {
    const [row] = await untilDeliveries(
      databaseUrl,
      endpoint,
      ([each]) => (each?.history.length ?? 0) > 0,
    )
    t.match(row, { state: 'delivered', lastStatus: 204 }, endpoint)
    await until(() => output().includes('account.connected account=77 sequence=1'))
  }
})
