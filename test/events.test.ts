import { spawn } from 'node:child_process'
import t from 'tap'
import { EVENT_TYPES } from '../src/contract/events.ts'
import { OPERATOR_KEY, until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { CLI, runCli } from './support/cli.ts'
import { makeClient } from './support/clients.ts'
import { query } from './support/database.ts'
import { openStream } from './support/event-stream.ts'
import { holdRowLock } from './support/waits.ts'

interface ShownEvent {
  id: string
  type: string
  position: number
  data: { state: string; reason: string; sequence: number; account_id: number }
}

/** A busy machine may report that LISTEN was late. */
const withoutBroker = (events: ShownEvent[]) =>
  events.filter(({ type }) => !type.startsWith('broker.'))

t.test(
  'GET /events: a change of a row is an event, and one that is rolled back is none',
  async (t) => {
    const { broker, databaseUrl } = await startBrokerWithSandbox(t)
    const changes = [
      `update amo_tokens set status = 'reauth_required', "lastErrorCode" = 'token_revoked'`,
      `update amo_tokens set status = 'active'`,
      `update amo_tokens set status = 'disconnected'`,
      `update amo_tokens set status = 'pending'`,
      `update amo_tokens set status = 'active'`,
      `update amo_integrations set state = 'halted'`,
      `update amo_integrations set state = 'running'`,
      `update amo_integrations set "lastErrorCode" = 'client_rejected'`,
      `update amo_integrations set "lastErrorCode" = null`,
      `insert into amo_breakers (key, "openUntil", reason) values ('amocrm', now(), 'no_answer')`,
      `update amo_breakers set "openUntil" = null`,
      `begin; update amo_tokens set status = 'disconnected'; rollback`,
      `insert into amo_inbox (kind, origin, integration, fingerprint) values ('callback', 'consent', 'amocrm', 'f')`,
      `update amo_inbox set "finishedAt" = now(), outcome = 'code_expired' where fingerprint = 'f'`,
      `insert into amo_endpoints (name, kind, target, origin, "createdBy") values ('hook', 'webhook', 's', 'o', 'x')`,
      `update amo_endpoints set state = 'disabled', "disabledReason" = 'gone'`,
      'delete from amo_tokens',
    ]
    for (const change of changes) await query(databaseUrl, change)
    const expected = [
      ['account.connected', 'active', null],
      ['account.reauth_required', 'reauth_required', 'token_revoked'],
      ['account.recovered', 'active', null],
      ['account.disconnected', 'disconnected', null],
      ['account.pending', 'pending', null],
      ['account.connected', 'active', null],
      ['integration.halted', 'halted', 'mass_guard'],
      ['integration.resumed', 'running', 'operator'],
      ['integration.client_rejected', 'running', 'client_rejected'],
      ['integration.resumed', 'running', 'client_accepted'],
      ['breaker.opened', 'open', 'no_answer'],
      ['breaker.closed', 'closed', 'no_answer'],
      ['onboarding.failed', 'failed', 'code_expired'],
      ['endpoint.disabled', 'disabled', 'gone'],
      ['account.removed', 'removed', null],
    ]
    const shown = async () => withoutBroker((await broker.get('/events')).body.events)
    await until(async () => (await shown()).length >= expected.length)
    const { body } = await broker.get('/events')
    const events = withoutBroker(body.events)
    t.same(
      events.map(({ type, data }) => [type, data.state, data.reason]),
      expected,
    )
    const sequences = events.filter(({ type }) => type.startsWith('account.'))
    t.same(
      sequences.map(({ data }) => data.sequence),
      [1, 2, 3, 4, 5, 6, 7],
      'the events of an account are numbered',
    )

    const { body: page } = await broker.get('/events?limit=2')
    t.match(page, { more: true, events: { length: 2 } })
    const { body: rest } = await broker.get(`/events?limit=500&after=${page.next}`)
    t.same(withoutBroker([...page.events, ...rest.events]), events, 'pages fit together')
    t.match(rest, { more: false, next: rest.events.at(-1)?.position })

    const metrics = await (await fetch(`${broker.url}/metrics`)).text()
    for (const type of EVENT_TYPES.filter((each) => !each.startsWith('broker.'))) {
      const count = expected.filter(([each]) => each === type).length
      t.match(metrics, `amo_events_total{type="${type}"} ${count}\n`, type)
    }
    t.match(metrics, 'amo_events_unsequenced_age_seconds 0')
  },
)

t.test('GET /events: a transaction that is open across 100 commits loses no event', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t)
  const stream = await openStream(t, broker.url, OPERATOR_KEY, { after: 0 })
  const open = await holdRowLock(
    t,
    databaseUrl,
    `update amo_tokens set status = 'reauth_required', "lastErrorCode" = 'token_revoked'`,
  )
  for (let index = 0; index < 100; index++) {
    const [state, before] = index % 2 === 0 ? ['paused', 'running'] : ['running', 'paused']
    await query(
      databaseUrl,
      `update amo_integrations set state = '${state}' where state = '${before}'`,
    )
  }
  const read: ShownEvent[] = []
  let after = 0
  const readOn = async () => {
    const { body } = await broker.get(`/events?after=${after}`)
    read.push(...withoutBroker(body.events))
    after = body.next
  }
  // The reader has seen everything that was committed before the open transaction ends.
  await until(async () => {
    await readOn()
    return read.length === 101
  })
  await open.release()
  await until(async () => {
    await readOn()
    return read.length === 102
  })
  t.match(read.at(-1), { type: 'account.reauth_required', data: { sequence: 2 } })
  const streamed = () => withoutBroker(stream.events.map(({ data }) => data))
  await until(() => streamed().length === 102)
  t.same(streamed(), read, 'the stream has the same events')
})

t.test('GET /events: within the grants of the caller', async (t) => {
  const { broker, databaseUrl, row } = await startBrokerWithSandbox(t)
  await query(databaseUrl, `update amo_integrations set state = 'paused'`)
  await query(
    databaseUrl,
    `insert into amo_endpoints (name, kind, target, origin, "createdBy") values ('hook', 'webhook', 's', 'o', 'x')`,
  )
  await query(databaseUrl, `update amo_endpoints set state = 'disabled'`)
  const { accountId } = await row()
  const grant = (account: string) => [{ integration: 'amocrm', account }]
  const keys = {
    granted: await makeClient(broker, 'granted', 'reader', grant(String(accountId))),
    whole: await makeClient(broker, 'whole', 'reader', grant('*')),
    other: await makeClient(broker, 'other', 'reader', grant('4711')),
    monitor: await makeClient(broker, 'monitor', 'monitor'),
    operator: OPERATOR_KEY,
  }
  await until(async () => withoutBroker((await broker.get('/events')).body.events).length === 3)
  const typesOf = async (key: string) => {
    const { body } = await broker.get('/events', { authorization: `Bearer ${key}` })
    return withoutBroker(body.events).map(({ type }) => type)
  }
  t.same(await typesOf(keys.granted), ['account.connected'])
  t.same(await typesOf(keys.whole), ['account.connected'])
  t.same(await typesOf(keys.other), [])
  t.same(await typesOf(keys.monitor), ['account.connected', 'integration.halted'])
  t.same(await typesOf(keys.operator), [
    'account.connected',
    'integration.halted',
    'endpoint.disabled',
  ])
})

t.test(
  'GET /events/stream: ends with its key, loses a withdrawn grant, and stops at the drain',
  async (t) => {
    const { broker, databaseUrl, row } = await startBrokerWithSandbox(t)
    const { accountId } = await row()
    const grants = [{ integration: 'amocrm', account: String(accountId) }]
    const key = await makeClient(broker, 'shop', 'reader', grants)
    const stream = await openStream(t, broker.url, key)
    const own = await openStream(t, broker.url, OPERATOR_KEY)

    await query(databaseUrl, `update amo_tokens set status = 'disconnected'`)
    await until(() => stream.events.length === 2)
    t.match(
      stream.events.toSorted((a, b) => a.event.localeCompare(b.event)),
      [
        { event: 'account.disconnected', data: { data: { account_id: accountId } } },
        { event: 'token.invalidated', data: { account: accountId } },
      ],
      'a service drops the token of a disconnected account',
    )

    const change = await fetch(`${broker.url}/clients/shop/grants`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${OPERATOR_KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify({ grants: [{ integration: 'amocrm', account: '4711' }] }),
    })
    t.equal(change.status, 200)
    const withdrawnAtMs = performance.now()
    await until(() => performance.now() - withdrawnAtMs > 1_500)
    await query(databaseUrl, `update amo_tokens set status = 'active'`)
    await until(() => own.events.some(({ event }) => event === 'account.connected'))
    t.equal(stream.events.length, 2, 'the grant was withdrawn')

    await fetch(`${broker.url}/clients/shop`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${OPERATOR_KEY}` },
    })
    await stream.ended
    t.pass('the stream ends when its key does')
    const stopping = broker.stop('SIGTERM')
    await own.ended
    await stopping
  },
)

t.test('token.invalidated: on a forced rotation and on a confirmed 401', async (t) => {
  const stage = await startBrokerWithSandbox(t, { env: { HEARTBEAT_MS: '500' } })
  const { broker } = stage
  const stream = await openStream(t, broker.url, OPERATOR_KEY)
  const { accountId, generation } = await stage.row()
  const announced = () => stream.events.filter(({ event }) => event === 'token.invalidated')
  const forced = await broker.post('/tokens/demo/refresh', { force: true })
  t.equal(forced.status, 200)
  await until(() => announced().length > 0)
  t.match(announced()[0]?.data, { account: accountId, integration: 'amocrm', generation })
  const [stored] = await query(
    stage.databaseUrl,
    `select count(*)::int from amo_events where type like 'token%'`,
  )
  t.same(stored, { count: 0 }, 'it is not stored')
})

t.test('amo-broker events: list prints the newest, tail what happens', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t)
  await query(databaseUrl, `update amo_integrations set state = 'paused'`)
  await until(async () => (await broker.get('/events')).body.events.length > 1)
  const env = { BROKER_URL: broker.url, BROKER_KEY: OPERATOR_KEY }
  const newest = await runCli(['events', 'list', '--limit', '1'], env)
  t.match(newest, { code: 0, out: /integration\.halted +amocrm +paused +operator/ })
  t.notMatch(newest.out, 'account.connected')
  const rest = await runCli(['events', 'list', '--after', '1', '--json'], env)
  t.match(JSON.parse(rest.out), [{ type: 'integration.halted' }])

  const tail = spawn(process.execPath, [CLI, 'events', 'tail', '--after', '1'], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => tail.kill())
  let out = ''
  tail.stdout.on('data', (chunk) => {
    out += chunk
  })
  await until(() => out.includes('integration.halted'))
  await query(databaseUrl, `update amo_integrations set state = 'running'`)
  await until(() => out.includes('integration.resumed'))
  t.match(out, /^\S+ {2}integration\.resumed {2}amocrm {2}The integration sends again\.$/m)
})
