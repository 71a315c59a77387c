import t from 'tap'
import { AmoTokenClient, type AmoTokenEvent } from '../src/client/client.ts'
import {
  connectAccount,
  OPERATOR_KEY,
  startBroker,
  startSandbox,
  type TestBroker,
  until,
} from './support/broker.ts'
import { makeClient } from './support/clients.ts'
import { createDatabase, query } from './support/database.ts'
import { type OpenStream, openStream } from './support/event-stream.ts'
import { freePorts } from './support/ports.ts'
import { startProxy } from './support/proxy.ts'

const CLIENTS = 50

/** A client that reconnects to any replica and continues after the last id it has. */
class Follower {
  readonly positions: number[] = []
  #isStopped = false
  #stream: OpenStream | undefined
  readonly #connect: (lastId: string | undefined) => Promise<OpenStream>

  constructor(connect: (lastId: string | undefined) => Promise<OpenStream>) {
    this.#connect = connect
  }

  /** Returns the positions in the order in which they arrived. */
  get received(): number[] {
    return [...this.positions, ...positionsOf(this.#stream)]
  }

  async follow(): Promise<void> {
    let lastId: string | undefined
    while (!this.#isStopped) {
      try {
        this.#stream = await this.#connect(lastId)
        await this.#stream.ended
        this.positions.push(...positionsOf(this.#stream))
        lastId = this.#stream.lastId
      } catch {
        await until(() => true)
      }
      this.#stream = undefined
    }
  }

  stop(): void {
    this.#isStopped = true
    this.#stream?.close()
  }
}

function positionsOf(stream: OpenStream | undefined): number[] {
  return (stream?.events ?? []).flatMap(({ id }) => (id === undefined ? [] : [Number(id)]))
}

t.test(
  `${CLIENTS} streams continue by id across replicas, restarts and a kill`,
  { timeout: 200_000 },
  async (t) => {
    const databaseUrl = await createDatabase(t)
    const sandbox = await startSandbox(t)
    const ports = await freePorts(4)
    const start = (index: number) =>
      startBroker(t, {
        databaseUrl,
        sandbox,
        ownProcess: true,
        ports: [ports[2 * index] ?? 0, ports[2 * index + 1] ?? 0],
      })
    const replicas: TestBroker[] = await Promise.all([start(0), start(1)])
    const urls = replicas.map(({ url }) => url)
    let turn = 0
    const followers = Array.from(
      { length: CLIENTS },
      () =>
        new Follower((lastId) => {
          turn += 1
          const from = lastId === undefined ? { after: 0 } : { lastId }
          return openStream(t, urls[turn % urls.length] ?? '', OPERATOR_KEY, from)
        }),
    )
    const following = followers.map((follower) => follower.follow())
    const happen = async (times: number) => {
      for (let each = 0; each < times; each++) {
        await query(
          databaseUrl,
          `update amo_integrations set state = case state when 'paused' then 'running' else 'paused' end`,
        )
      }
    }
    const countEvents = async () => {
      const [row] = await query(databaseUrl, 'select count(*)::int as count from amo_events')
      return Number(row?.count)
    }
    const untilReceived = () =>
      until(async () => {
        const count = await countEvents()
        return followers.every(({ received }) => received.length >= count)
      })
    await happen(20)
    await untilReceived()
    await replicas[0]?.stop('SIGTERM')
    await happen(20)
    replicas[0] = await start(0)
    await happen(10)
    await untilReceived()
    const killed = replicas[1]?.stop('SIGKILL')
    await happen(20)
    await killed
    replicas[1] = await start(1)
    await happen(10)
    await untilReceived()
    for (const follower of followers) follower.stop()
    await Promise.all(following)
    const rows = await query<{ position: string }>(
      databaseUrl,
      'select position from amo_events order by position',
    )
    const expected = rows.map(({ position }) => Number(position))
    t.ok(expected.length >= 80)
    for (const { received } of followers) t.same(received, expected, 'each event once, in order')
  },
)

t.test('a client of the package drops a token that was rotated by force', async (t) => {
  const databaseUrl = await createDatabase(t)
  const ports = await freePorts(2)
  const sandbox = await startSandbox(t, { publicPort: ports[1] ?? 0 })
  const broker = await startBroker(t, {
    databaseUrl,
    sandbox,
    ports: [ports[0] ?? 0, ports[1] ?? 0],
    env: { HEARTBEAT_MS: '500' },
  })
  await connectAccount(broker)
  const key = await makeClient(broker, 'shop', 'reader', [
    { integration: 'amocrm', account: 'demo' },
  ])
  const events: AmoTokenEvent[] = []
  const client = new AmoTokenClient({
    url: broker.url,
    key,
    onEvent: (event) => events.push(event),
  })
  t.teardown(() => client.close())
  const before = await client.getToken('demo')
  // The stream is opened by the first read.
  await until(() => broker.log().includes('event stream opened'))
  await broker.post('/tokens/demo/refresh', { force: true })
  await until(() => events.length > 0)
  t.match(events, [{ type: 'invalidated', generation: before.generation }])
  const after = await client.getToken('demo')
  t.ok(after.generation > before.generation)
})

t.test('broker.degraded and .recovered: recorded afterwards, once for all replicas', async (t) => {
  const databaseUrl = await createDatabase(t)
  const proxy = await startProxy(t, databaseUrl)
  const env = { HEARTBEAT_MS: '1000' }
  const [broker] = await Promise.all(
    [1, 2].map(() => startBroker(t, { databaseUrl: proxy.url, env })),
  )
  const brokerEvents = () =>
    query<{ type: string; delayed: boolean; part: string }>(
      databaseUrl,
      `select type, delayed, reason as part from amo_events
       where type like 'broker.%' and reason = 'postgres' order by at`,
    )
  proxy.set('refuse')
  proxy.cut()
  const downAtMs = performance.now()
  await until(() => performance.now() - downAtMs > 8_000)
  t.match((await broker?.get('/health/ready'))?.body.degraded, [/^postgres: /])
  proxy.set('pass')
  await until(async () => (await brokerEvents()).length >= 2)
  const upAtMs = performance.now()
  await until(() => performance.now() - upAtMs > 4_000)
  t.same(await brokerEvents(), [
    { type: 'broker.degraded', delayed: true, part: 'postgres' },
    { type: 'broker.recovered', delayed: false, part: 'postgres' },
  ])
})
