import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { Agent, request, fetch as undiciFetch } from 'undici'
import { AmoTokenClient, type AmoTokenEvent } from '../src/client/client.ts'
import { OPERATOR_KEY, startBroker, until } from './support/broker.ts'
import { assertPresentedOnce, startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { underLoad } from './support/under-load.ts'

const CALLERS = 1_000
/** Longer than a restart of the broker, which takes its time on a loaded machine. */
const LIFE_SECONDS = Math.ceil(underLoad(25_000) / 1_000)
/** Every caller calls once more, with the newest token. */
const LAST_ROUND_MS = 5_000

t.test('1,000 callers: expiries, 401 storms, restarts, forced rotations', async (t) => {
  const stage = await startBrokerWithSandbox(t, {
    sandbox: { accessTtlSeconds: LIFE_SECONDS },
    ownProcess: true,
  })
  const { sandbox, databaseUrl } = stage
  let { broker } = stage
  const ports = [broker.url, broker.publicUrl].map((url) => Number(new URL(url).port))
  const events: AmoTokenEvent[] = []
  // Like three services, which share only the broker.
  const clients = Array.from({ length: 3 }, () => {
    const onEvent = (event: AmoTokenEvent) => events.push(event)
    const client = new AmoTokenClient({
      url: broker.url,
      key: OPERATOR_KEY,
      timeoutMs: 30_000,
      onEvent,
    })
    t.teardown(() => client.close())
    return client
  })
  const failures: string[] = []
  const generations = new Set<number>()
  let calls = 0
  let isOver = false
  t.teardown(() => {
    isOver = true
  })
  const underWay = new Set<Promise<Response>>()
  /**
   * Waits until every call under way began with the newest token. A call that began with an older
   * one fails if the newest dies before its second attempt, and no client can prevent that.
   */
  const callsHaveNewestToken = async () => {
    const newest = (await broker.get('/tokens/demo')).body.generation
    for (const client of clients) {
      await until(async () => (await client.getToken('demo')).generation === newest)
    }
    await Promise.allSettled([...underWay])
  }
  const callers = Array.from({ length: CALLERS }, async (_, index) => {
    const client = clients[index % clients.length]
    await delay(Math.random() * 3_000)
    while (client !== undefined && !isOver) {
      try {
        const call = client.fetch('demo', '/api/v4/account')
        underWay.add(call)
        const response = await call.finally(() => underWay.delete(call))
        await response.arrayBuffer()
        calls += 1
        if (response.status !== 200) failures.push(String(response.status))
        if (index < clients.length) generations.add((await client.getToken('demo')).generation)
      } catch (error) {
        failures.push(String(error))
      }
      await delay(2_500 + Math.random() * 2_000)
    }
  })
  const account = sandbox.world.directory.findAccount('demo')
  if (account === undefined) throw new Error('no account')
  const { totals } = sandbox.world.books
  await until(() => calls > CALLERS / 2)
  sandbox.world.grants.expire(account, ['access_token'])
  await until(() => totals.refreshes >= 1)
  await callsHaveNewestToken()
  await broker.stop()
  broker = await startBroker(t, {
    databaseUrl,
    sandbox,
    ownProcess: true,
    ports: [ports[0] ?? 0, ports[1] ?? 0],
    dataDir: broker.dataDir,
  })
  await broker.post('/tokens/demo/refresh', { force: true })
  await until(() => totals.refreshes >= 2)
  await callsHaveNewestToken()
  sandbox.world.grants.expire(account, ['access_token'])
  await until(() => totals.refreshes >= 3)
  await delay(LAST_ROUND_MS)
  isOver = true
  await Promise.all(callers)
  const { refreshes } = totals
  t.comment(`${calls} calls, ${refreshes} refreshes, ${generations.size} generations seen`)
  t.same(
    events.filter(({ type }) => type === 'report_failed'),
    [],
  )
  t.same(failures, [], 'no caller saw a failure')
  t.ok(calls > CALLERS * 3)
  const [attempts] = await stage.attempts().then((all) => [all.map(({ outcome }) => outcome)])
  t.equal(attempts?.filter((outcome) => outcome === 'committed').length, refreshes)
  t.ok(refreshes >= 3, 'two storms and the forced rotation')
  assertPresentedOnce(t, { sandbox })
})

t.test('undici: the interceptor adds the token, and repeats once after a 401', async (t) => {
  const { broker, sandbox } = await startBrokerWithSandbox(t)
  const client = new AmoTokenClient({ url: broker.url, key: OPERATOR_KEY, followEvents: false })
  const agent = new Agent().compose(client.interceptor('demo'))
  const account = sandbox.world.directory.findAccount('demo')
  if (account === undefined) throw new Error('no account')
  const kill = () => sandbox.world.grants.expire(account, ['access_token'])
  const url = 'https://demo.amocrm.ru/api/v4/leads'

  const read = await request(url, { dispatcher: agent })
  t.equal(read.statusCode, 204)
  await read.body.dump()
  await client.getToken('demo')
  kill()
  const headers = { 'content-type': 'application/json', Authorization: 'Bearer mine' }
  const body = JSON.stringify([{ name: 'By undici' }])
  const made = await request(url, { method: 'POST', headers, body, dispatcher: agent })
  t.equal(made.statusCode, 200)
  t.match(await made.body.json(), { _embedded: { leads: [{ id: 1 }] } })
  t.equal(sandbox.world.books.totals.refreshes, 1)
  kill()
  const stream = Readable.from([body])
  const once = await request(url, { method: 'POST', headers, body: stream, dispatcher: agent })
  t.equal(once.statusCode, 401, 'a stream cannot be sent again')
  await once.body.dump()
  const fetched = await undiciFetch(url, { dispatcher: agent })
  t.equal(fetched.status, 200)
  await fetched.arrayBuffer()
  await t.rejects(request('https://example.com/', { dispatcher: agent }), { code: 'foreign_url' })
  await broker.stop()
  const other = new AmoTokenClient({ url: broker.url, key: OPERATOR_KEY, followEvents: false })
  const failing = new Agent().compose(other.interceptor('demo'))
  await t.rejects(request(url, { dispatcher: failing }), { code: 'broker_unreachable' })
})
