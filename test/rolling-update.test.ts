import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Agent, request } from 'undici'
import {
  type BrokerOptions,
  connectAccount,
  OPERATOR_KEY,
  startBroker,
  startSandbox,
  type TestBroker,
  until,
} from './support/broker.ts'
import { assertPresentedOnce, generationOf } from './support/broker-with-sandbox.ts'
import { createDatabase, query, redisUrl } from './support/database.ts'
import { freePorts } from './support/ports.ts'
import { startProxy } from './support/proxy.ts'
import { underLoad } from './support/under-load.ts'

const REPLICAS = 3
const CALLERS = 200
const PROBE_MS = 100
/** Longer than the load balancer needs to notice. */
const DRAIN_MS = underLoad(1_000)

/**
 * What Kubernetes does for a Service: probes readiness, and sends requests only to ready replicas.
 */
class LoadBalancer {
  readonly #urls: string[]
  readonly #isReady: boolean[]
  #isRunning = true
  #turn = 0

  constructor(urls: string[]) {
    this.#urls = urls
    this.#isReady = urls.map(() => true)
  }

  isReady(replica: number): boolean {
    return this.#isReady[replica] === true
  }

  next(): string {
    const ready = this.#urls.filter((_, replica) => this.isReady(replica))
    this.#turn += 1
    return ready[this.#turn % ready.length] ?? 'http://no-replica-is-ready.invalid'
  }

  async probe(): Promise<void> {
    while (this.#isRunning) {
      await Promise.all(
        this.#urls.map(async (url, replica) => {
          const answer = await fetch(`${url}/health/ready`).catch(() => undefined)
          this.#isReady[replica] = answer?.ok === true
        }),
      )
      await delay(PROBE_MS)
    }
  }

  stop(): void {
    this.#isRunning = false
  }
}

/** Three replicas with a disk each, on one database. */
async function startReplicas(t: Test, options: Partial<BrokerOptions> = {}) {
  const databaseUrl = options.databaseUrl ?? (await createDatabase(t))
  const ports = await freePorts(2 * REPLICAS)
  const publicPort = ports[1] ?? 0
  const sandbox = await startSandbox(t, { publicPort })
  const disks = t.testdir(Object.fromEntries(ports.map((_, index) => [index, {}])))
  const each = Array.from({ length: REPLICAS }, (_, replica): BrokerOptions => {
    const [internal = 0, open = 0] = ports.slice(2 * replica)
    return {
      ...options,
      databaseUrl,
      sandbox,
      dataDir: join(disks, String(replica)),
      deploymentId: new URL(databaseUrl).pathname.slice(1),
      ports: [internal, open],
      env: {
        AMO_REDIRECT_URI: `http://127.0.0.1:${publicPort}/api/v1/integrations/amo-crm/callback`,
        ...options.env,
      },
    }
  })
  const start = (replica: number, other: Partial<BrokerOptions> = {}) =>
    startBroker(t, { ...each[replica], ...other })
  const brokers = await Promise.all(each.map((_, replica) => start(replica)))
  await connectAccount(brokers[0] as TestBroker)
  return { brokers, start, sandbox, databaseUrl }
}

t.test('rolling update of three replicas, 200 callers: no request fails', async (t) => {
  const { brokers, start, sandbox, databaseUrl } = await startReplicas(t, {
    ownProcess: true,
    env: { DRAIN_MS: String(DRAIN_MS) },
  })
  const balancer = new LoadBalancer(brokers.map(({ url }) => url))
  const probing = balancer.probe()
  const failures: string[] = []
  const served = new Map<string, number>()
  let isCalling = true
  const call = async () => {
    const dispatcher = new Agent({ connections: 1 })
    while (isCalling) {
      const url = balancer.next()
      try {
        const { statusCode, body } = await request(`${url}/tokens/demo`, {
          dispatcher,
          headers: { authorization: `Bearer ${OPERATOR_KEY}` },
        })
        await body.dump()
        if (statusCode !== 200) failures.push(`${statusCode} of ${url}`)
        served.set(url, (served.get(url) ?? 0) + 1)
      } catch (error) {
        failures.push(`${(error as { code?: string }).code} of ${url}`)
      }
      await delay(50)
    }
    await dispatcher.destroy()
  }
  const calls = Array.from({ length: CALLERS }, call)
  for (const [replica, broker] of brokers.entries()) {
    // The token is refreshed during each replacement.
    await query(databaseUrl, `update amo_tokens set "refreshAt" = now(), "nextAttemptAt" = now()`)
    const ended = broker.stop('SIGTERM')
    await until(() => !balancer.isReady(replica))
    t.equal((await broker.get('/tokens/demo')).status, 200, 'not ready, and still serving')
    t.equal(await ended, 0)
    const before = served.get(broker.url) ?? 0
    await start(replica)
    await until(() => balancer.isReady(replica))
    await until(() => (served.get(broker.url) ?? 0) > before)
  }
  isCalling = false
  await Promise.all(calls)
  balancer.stop()
  await probing
  t.same([...new Set(failures)], [], `${failures.length} failures`)
  const total = [...served.values()].reduce((sum, count) => sum + count, 0)
  t.ok(total > CALLERS * REPLICAS, `${total} requests`)
  t.ok(sandbox.world.books.totals.refreshes >= REPLICAS, 'refreshed in every phase')
  assertPresentedOnce(t, { sandbox })
})

/**
 * Scales away the one replica that has a response on its disk, before the commit: its process is
 * killed and the disk stays behind.
 */
async function scaleAwayBeforeCommit(t: Test, redis: string | null) {
  const databaseUrl = await createDatabase(t)
  const fast = { SEND_LIMIT_MS: String(underLoad(500)), SETTLE_MS: '100' }
  const { brokers, start, sandbox } = await startReplicas(t, { databaseUrl, redis, env: fast })
  const [, , victim] = brokers as [TestBroker, TestBroker, TestBroker]
  await victim.stop()
  const proxy = await startProxy(t, databaseUrl)
  const cut = await start(2, { databaseUrl: proxy.url, ownProcess: true })
  // Only this replica may take the refresh.
  for (const broker of brokers.slice(0, 2)) await broker.stop()
  sandbox.world.faults.set([{ fault: 'delay_after_spend', delay_ms: underLoad(1_000), times: 1 }])
  await query(databaseUrl, `update amo_tokens set "refreshAt" = now(), "nextAttemptAt" = now()`)
  await until(() => sandbox.world.books.totals.tokenCalls === 2)
  proxy.set('refuse')
  await until(() => cut.log().includes('refreshed token pair not stored yet'))
  await cut.stop('SIGKILL')
  await query(
    databaseUrl,
    `update amo_refresh_attempts set "leaseUntil" = now() - interval '1 hour'`,
  )
  return { start, sandbox, connectedAs: await generationOf(databaseUrl) }
}

t.test('a replica is scaled away before the commit: another commits the Redis copy', async (t) => {
  const { start, sandbox, connectedAs } = await scaleAwayBeforeCommit(t, redisUrl())
  const [first] = await Promise.all([start(0), start(1)])
  await until(async () => (await first.get('/tokens/demo')).body.generation > connectedAs)
  const { body } = await first.get('/tokens/demo')
  t.equal(sandbox.world.grants.findAccess(body.access_token)?.state, 'live')
  assertPresentedOnce(t, { sandbox })
})

t.test('without Redis: given up until the replica is back with its disk', async (t) => {
  const { start, sandbox, connectedAs } = await scaleAwayBeforeCommit(t, null)
  const first = await start(0)
  await until(async () => (await first.get('/accounts/demo')).body.status === 'reauth_required')
  await start(2)
  await until(async () => (await first.get('/accounts/demo')).body.status === 'active')
  const { body } = await first.get('/tokens/demo')
  t.ok(body.generation > connectedAs)
  t.equal(sandbox.world.grants.findAccess(body.access_token)?.state, 'live')
  assertPresentedOnce(t, { sandbox })
})
