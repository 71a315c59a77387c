import { Webhook } from 'standardwebhooks'
import t from 'tap'
import { DELIVERY_STEPS } from '../src/lib/failpoint.ts'
import { startBroker, until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { createDatabase, query } from './support/database.ts'
import {
  deliveriesTo,
  emit,
  makeEndpoint,
  PRIVATE,
  passTime,
  untilDeliveries,
} from './support/endpoints.ts'
import {
  answer,
  BOT_TOKEN,
  type Receiver,
  SLACK_PATH,
  slack,
  startReceiver,
  telegram,
} from './support/receivers.ts'
import { nothingHappensFor } from './support/waits.ts'

/** Nothing listens there. */
const DEAD = 'http://127.0.0.1:1/hook'
const idsOf = ({ received }: Receiver) => received.map(({ headers }) => headers['webhook-id'])

t.test('a change in psql arrives as a signed webhook, in Telegram and in Slack', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t, { env: PRIVATE })
  const [hook, bot, channel] = [
    await startReceiver(t),
    await startReceiver(t, telegram('-1005')),
    await startReceiver(t, slack),
  ]
  const secret = await makeEndpoint(broker, { name: 'hook', url: `${hook.origin}/events` })
  const chat = { bot_token: BOT_TOKEN, chat_id: '-1005', api_origin: bot.origin }
  await makeEndpoint(broker, {
    ...{ name: 'bot', kind: 'telegram', language: 'uk', grouped: false },
    ...chat,
  })
  const url = channel.origin + SLACK_PATH
  await makeEndpoint(broker, {
    ...{ name: 'channel', kind: 'slack', language: 'es', grouped: false },
    ...{ url, types: ['account.reauth_required'], integrations: ['amocrm'] },
  })
  await query(
    databaseUrl,
    `update amo_tokens set status = 'reauth_required', "lastErrorCode" = 'grant_revoked'`,
  )
  await until(() => [hook, bot, channel].every(({ received }) => received.length > 0))
  const { body = '', headers = {}, path } = hook.received[0] ?? {}
  const event = new Webhook(secret).verify(body, headers as Record<string, string>)
  t.equal(path, '/events')
  t.match(event, {
    id: idsOf(hook)[0],
    type: 'account.reauth_required',
    data: { integration: 'amocrm', domain: 'demo.amocrm.ru', reason: 'grant_revoked' },
  })
  t.match(JSON.parse(bot.received[0]?.body ?? '').text, /Доступ до акаунта втрачено/)
  t.match(JSON.parse(channel.received[0]?.body ?? '').text, /Se perdió el acceso/)
  await query(databaseUrl, `update amo_tokens set status = 'active'`)
  await until(() => bot.received.length === 2)
  for (const name of ['hook', 'bot', 'channel']) {
    const rows = await untilDeliveries(databaseUrl, name, (all) =>
      all.every(({ state }) => state === 'delivered'),
    )
    t.equal(rows.length, name === 'channel' ? 1 : 2, name)
    t.equal(rows[0]?.lastStatus, 200)
  }
  const [row] = await query(databaseUrl, `select e::text as text from amo_endpoints e limit 1`)
  t.notMatch(row?.text, /canary|events|whsec/, 'sealed')
})

t.test('order and retries: the account waits for the third failed attempt', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t, { connect: false, env: PRIVATE })
  const receiver = await startReceiver(t, answer(500, 'no database'))
  const secret = await makeEndpoint(broker, { name: 'hook', url: receiver.origin })
  const first = await emit(databaseUrl, 1, 'account.connected')
  await untilDeliveries(databaseUrl, 'hook', ([row]) => row?.attempts === 1)
  const second = await emit(databaseUrl, 1, 'account.disconnected')
  const waits = [5, 60, 300, 1_800, 7_200, 28_800, 86_400]
  for (const [index, seconds] of waits.entries()) {
    const [row] = await untilDeliveries(
      databaseUrl,
      'hook',
      ([each]) => each?.attempts === index + 1,
    )
    t.ok(
      row && row.wait >= seconds * 0.98 && row.wait <= seconds * 1.25,
      `attempt ${index + 2} after ${row?.wait} s`,
    )
    const others = (await deliveriesTo(databaseUrl, 'hook'))[1]
    if (index < 2) t.equal(others?.attempts ?? 0, 0, 'the second event waits')
    if (index === 2) {
      await untilDeliveries(databaseUrl, 'hook', (rows) => rows[1]?.attempts === 1)
      receiver.respond(({ headers }, response) => {
        response.statusCode = headers['webhook-id'] === first ? 500 : 200
        response.end('no database')
      })
    }
    await passTime(databaseUrl, 'hook')
  }
  const [failed, passed] = await untilDeliveries(
    databaseUrl,
    'hook',
    (rows) => rows[0]?.state === 'failed' && rows[1]?.state === 'delivered',
  )
  t.match(failed, { attempts: 8, lastStatus: 500, lastError: 'server_error' })
  t.match(failed?.history[0], { status: 500, code: 'server_error', excerpt: 'no database' })
  t.same([failed?.messageId, passed?.messageId], [first, second])
  const ids = idsOf(receiver)
  t.same(ids.filter((id) => id === first).length, 8, 'the same id each time')
  t.equal(ids.indexOf(second), 3, 'the second event came after three attempts')
  const signatures = receiver.received.map(({ headers, body }) => {
    new Webhook(secret).verify(body, headers as Record<string, string>)
    return headers['webhook-timestamp']
  })
  t.equal(signatures.length, ids.length, 'each attempt is signed anew')

  receiver.respond(answer(204))
  const resend = (id: number | undefined) =>
    broker.post(`/endpoints/hook/deliveries/${id}/resend`, undefined)
  t.equal((await resend(failed?.id)).status, 202)
  await untilDeliveries(databaseUrl, 'hook', ([row]) => row?.state === 'delivered')
  t.equal(idsOf(receiver).at(-1), first)
  const times = (message: string) => broker.log().split(`"msg":"${message}"`).length - 1
  await until(() => times('deliveries to an endpoint work again') === 2)
  t.equal(times('deliveries to an endpoint fail'), 2, 'once before each success')
  t.match(broker.log(), /"code":"server_error","status":500,"msg":"deliveries to an endpoint fail"/)
  t.equal((await resend(999_999)).body.code, 'delivery_not_found')
})

t.test('a dead endpoint and a slow one delay nobody else', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t, { connect: false, env: PRIVATE })
  const healthy = await startReceiver(t)
  const slow = await startReceiver(t, () => {})
  await makeEndpoint(broker, { name: 'dead', url: DEAD })
  await makeEndpoint(broker, { name: 'slow', url: slow.origin })
  await makeEndpoint(broker, { name: 'healthy', url: healthy.origin })
  await query(
    databaseUrl,
    `insert into amo_events (type, integration, "accountId", state)
     select 'account.connected', 'amocrm', n, 'active' from generate_series(1, 300) n`,
  )
  await until(() => healthy.received.length === 300)
  t.same(new Set(idsOf(healthy)).size, 300)
  const slowRows = await deliveriesTo(databaseUrl, 'slow')
  const timedOut = slowRows.filter(({ attempts }) => attempts > 0).length
  t.ok(slow.received.length - timedOut <= 5, 'few attempts to the slow one at a time')
  t.equal(slowRows.filter(({ state }) => state === 'delivered').length, 0, 'it was no race')
  const tried = async () =>
    (await deliveriesTo(databaseUrl, 'dead')).filter(({ attempts }) => attempts > 0).length
  await until(async () => (await tried()) > 4)
  const [before, beganMs] = [await tried(), performance.now()]
  await nothingHappensFor(1_000)
  const perSecond = ((await tried()) - before) / ((performance.now() - beganMs) / 1_000)
  t.ok(perSecond <= 6, `${perSecond} attempts per second to the dead one`)
  const [row] = await deliveriesTo(databaseUrl, 'dead')
  t.match(row, { lastStatus: null, lastError: 'econnrefused' })
  slow.respond(answer(200))
  // The requests that are still open end with the connection.
  await slow.close()
})

t.test('two replicas: each message once, in order per account', async (t) => {
  const databaseUrl = await createDatabase(t)
  const receiver = await startReceiver(t, async (_request, response) => {
    await nothingHappensFor(Math.random() * 20)
    response.end()
  })
  const replica = () => startBroker(t, { databaseUrl, env: PRIVATE })
  const [broker] = [await replica(), await replica()]
  await makeEndpoint(broker, { name: 'hook', url: receiver.origin })
  await query(
    databaseUrl,
    `insert into amo_events (type, integration, "accountId", state)
     select 'account.connected', 'amocrm', account, 'active'
     from generate_series(1, 5) turn, generate_series(1, 30) account order by turn, account`,
  )
  await untilDeliveries(
    databaseUrl,
    'hook',
    (rows) => rows.length === 150 && rows.every(({ state }) => state === 'delivered'),
  )
  const sequences = new Map<number, number[]>()
  for (const { body } of receiver.received) {
    const { account_id, sequence } = JSON.parse(body).data
    sequences.set(account_id, [...(sequences.get(account_id) ?? []), sequence])
  }
  t.equal(sequences.size, 30)
  for (const [account, order] of sequences) t.same(order, [1, 2, 3, 4, 5], `account ${account}`)
})

t.test('410 and five days of failures disable an endpoint, and others report it', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t, { connect: false, env: PRIVATE })
  const [gone, failing, other] = [
    await startReceiver(t, answer(410)),
    await startReceiver(t, answer(503)),
    await startReceiver(t),
  ]
  await makeEndpoint(broker, { name: 'gone', url: gone.origin })
  await makeEndpoint(broker, { name: 'failing', url: failing.origin })
  await makeEndpoint(broker, { name: 'other', url: other.origin, types: ['breaker.opened'] })
  await emit(databaseUrl, 1, 'account.connected')
  const stateOf = async (name: string) => (await broker.get(`/endpoints/${name}`)).body
  await until(async () => (await stateOf('gone')).state === 'disabled')
  t.match(await stateOf('gone'), { disabled_reason: 'gone', last_error: 'gone' })
  await until(async () => (await stateOf('failing')).failing_since !== null)
  t.match(await stateOf('failing'), { state: 'active', last_error: 'server_error' })
  await query(
    databaseUrl,
    `update amo_endpoints set "failingSince" = now() - interval '5 days 1 second'
     where name = 'failing'`,
  )
  await passTime(databaseUrl, 'failing')
  await until(async () => (await stateOf('failing')).state === 'disabled')
  t.equal((await stateOf('failing')).disabled_reason, 'failing')
  await until(() => other.received.length === 2)
  t.same(
    other.received.map(({ body }) => JSON.parse(body).data.endpoint),
    ['gone', 'failing'],
    'whatever its types are',
  )
  const metrics = await (await fetch(`${broker.url}/metrics`)).text()
  t.match(metrics, /^amo_endpoints_disabled 2$/m)
  t.match(metrics, /^amo_deliveries_total\{outcome="retried"\} [1-9]/m)
  t.match(metrics, /^amo_deliveries_total\{outcome="delivered"\} 2$/m)
  t.match(metrics, /^amo_delivery_oldest_seconds 0$/m)
  await until(async () => {
    const { degraded } = (await broker.get('/health/ready')).body
    return degraded.some((line: string) => /^endpoint failing: disabled/.test(line))
  })
  t.equal((await broker.post('/endpoints/failing/test', undefined)).body.code, 'endpoint_disabled')
  failing.respond(answer(200))
  t.equal((await broker.post('/endpoints/failing/enable', undefined)).status, 200)
  await untilDeliveries(databaseUrl, 'failing', ([row]) => row?.state === 'pending')
  await passTime(databaseUrl, 'failing')
  await untilDeliveries(databaseUrl, 'failing', ([row]) => row?.state === 'delivered')
  t.match(await stateOf('failing'), { failing_since: null, last_error: null })
})

t.test('Telegram: 429 stops the chat for its time; a chat that moved is followed', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t, { connect: false, env: PRIVATE })
  const limited = '{"ok":false,"error_code":429,"parameters":{"retry_after":30}}'
  const bot = await startReceiver(t, answer(429, limited))
  const chat = { bot_token: BOT_TOKEN, chat_id: '-5', api_origin: bot.origin, grouped: false }
  await makeEndpoint(broker, { name: 'bot', kind: 'telegram', ...chat })
  await emit(databaseUrl, 1, 'account.connected')
  const [row] = await untilDeliveries(databaseUrl, 'bot', ([each]) => each?.attempts === 1)
  t.ok(row && row.wait >= 29, `${row?.wait} s`)
  await emit(databaseUrl, 2, 'account.connected')
  await untilDeliveries(databaseUrl, 'bot', (rows) => rows.length === 2)
  await nothingHappensFor(1_500)
  t.equal(bot.received.length, 1, 'nothing else is sent meanwhile')

  const another = await startBrokerWithSandbox(t, { connect: false, env: PRIVATE })
  bot.respond(answer(400, '{"ok":false,"parameters":{"migrate_to_chat_id":-1009}}'))
  await makeEndpoint(another.broker, { name: 'bot', kind: 'telegram', ...chat })
  await emit(another.databaseUrl, 1, 'account.connected')
  await untilDeliveries(another.databaseUrl, 'bot', ([each]) => each?.lastError === 'chat_moved')
  bot.respond(telegram('-1009'))
  await passTime(another.databaseUrl, 'bot')
  await untilDeliveries(another.databaseUrl, 'bot', ([each]) => each?.state === 'delivered')
})

t.test(
  'kill -9 at each step of a delivery: nothing is lost, repeats have the same id',
  async (t) => {
    const databaseUrl = await createDatabase(t)
    const receiver = await startReceiver(t)
    const first = await startBroker(t, { databaseUrl, env: PRIVATE })
    await makeEndpoint(first, { name: 'hook', url: receiver.origin })
    await first.stop()
    const emitted: string[] = []
    for (const step of DELIVERY_STEPS) {
      for (const type of ['account.connected', 'account.disconnected', 'account.connected']) {
        for (const account of [1, 2]) emitted.push(await emit(databaseUrl, account, type))
      }
      const kill = { NODE_OPTIONS: '--import=./test/support/kill-at.ts', KILL_AT: step }
      const isReady = () => false
      const victim = startBroker(t, {
        ...{ databaseUrl, ownProcess: true, isReady },
        env: { ...PRIVATE, ...kill },
      })
      await t.rejects(victim, /the broker ended/, step)
      // The leases of a dead process end after half a minute.
      await query(
        databaseUrl,
        `update amo_deliveries set "leaseUntil" = now() - interval '1 second'
       where "leaseUntil" is not null`,
      )
    }
    await startBroker(t, { databaseUrl, env: PRIVATE })
    await untilDeliveries(
      databaseUrl,
      'hook',
      (rows) => rows.length === emitted.length && rows.every(({ state }) => state === 'delivered'),
    )
    const ids = idsOf(receiver)
    t.same(new Set(ids), new Set(emitted), 'every event arrived, and nothing else')
    t.ok(ids.length > emitted.length, `${ids.length - emitted.length} were repeated`)
    for (const account of [0, 1]) {
      const own = emitted.filter((_id, index) => index % 2 === account)
      t.same([...new Set(ids.filter((id) => own.includes(String(id))))], own, 'in order')
    }
  },
)

t.test('many lost accounts are one message with their number', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t, { connect: false, env: PRIVATE })
  const [hook, bot] = [await startReceiver(t), await startReceiver(t, telegram('-5'))]
  await makeEndpoint(broker, { name: 'hook', url: hook.origin, grouped: true })
  const chat = { bot_token: BOT_TOKEN, chat_id: '-5', api_origin: bot.origin, language: 'ru' }
  await makeEndpoint(broker, { name: 'bot', kind: 'telegram', ...chat })
  await query(
    databaseUrl,
    `insert into amo_events (type, integration, "accountId", domain, state, reason)
     select 'account.reauth_required', 'amocrm', n, 'a' || n || '.amocrm.ru', 'reauth_required',
       'grant_revoked' from generate_series(1, 150) n`,
  )
  for (const [name, receiver] of [
    ['hook', hook],
    ['bot', bot],
  ] as const) {
    await untilDeliveries(databaseUrl, name, (rows) => rows.some(({ events }) => events === 150))
    await passTime(databaseUrl, name)
    await until(() => receiver.received.length === 1)
  }
  const body = JSON.parse(hook.received[0]?.body ?? '')
  t.match(body, {
    id: idsOf(hook)[0],
    type: 'account.reauth_required',
    data: { grouping: 'group', integration: 'amocrm', count: 150 },
  })
  t.equal(body.data.events.length, 100)
  t.match(JSON.parse(bot.received[0]?.body ?? '').text, /ко многим аккаунтам.*<code>150<\/code>/s)
})

t.test('a late result does not overwrite that of another replica', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t, { connect: false, env: PRIVATE })
  const open: (() => void)[] = []
  const receiver = await startReceiver(t, (_request, response) => {
    open.push(() => response.writeHead(500).end())
  })
  await makeEndpoint(broker, { name: 'hook', url: receiver.origin })
  await emit(databaseUrl, 1, 'account.connected')
  await until(() => open.length === 1)
  await query(
    databaseUrl,
    `update amo_deliveries set owner = 'another', "leaseUntil" = now() + interval '1 hour'`,
  )
  open[0]?.()
  await until(async () => {
    const metrics = await (await fetch(`${broker.url}/metrics`)).text()
    return /^amo_deliveries_total\{outcome="late"\} 1$/m.test(metrics)
  })
  t.match(await deliveriesTo(databaseUrl, 'hook'), [{ state: 'pending', attempts: 0, history: [] }])
})

t.test('a copy of the database and --hold send nothing', async (t) => {
  const databaseUrl = await createDatabase(t)
  const receiver = await startReceiver(t)
  const start = (more: object = {}) => startBroker(t, { databaseUrl, env: PRIVATE, ...more })
  const first = await start()
  await makeEndpoint(first, { name: 'hook', url: receiver.origin })
  await first.stop()
  await emit(databaseUrl, 1, 'account.connected')
  const held = await start({ env: { ...PRIVATE, HOLD_SENDS: 'true' } })
  await untilDeliveries(databaseUrl, 'hook', (rows) => rows.length > 0)
  const copy = await start({ deploymentId: 'copy' })
  await nothingHappensFor(1_500)
  t.equal(receiver.received.length, 0)
  await Promise.all([held.stop(), copy.stop()])
  await start()
  await until(() => receiver.received.length === 1)
})
