import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import {
  type Answer,
  connectAccount,
  startBroker,
  startSandbox,
  type TestBroker,
  type TestSandbox,
  until,
} from './support/broker.ts'
import { generationOf } from './support/broker-with-sandbox.ts'
import { makeDataDir } from './support/data-dir.ts'
import { createDatabase, query, redisUrl } from './support/database.ts'
import { freePorts } from './support/ports.ts'
import { startProxy } from './support/proxy.ts'
import { isLoaded, underLoad } from './support/under-load.ts'

const CALLERS = 300

interface BrokerWithSandbox {
  replicas: TestBroker[]
  sandbox: TestSandbox
  databaseUrl: string
}

/**
 * Three replicas on one database, two of them as processes of their own so that they race, with the
 * account "demo" connected and nothing scheduled.
 */
async function stage(t: Test, redis: string | null): Promise<BrokerWithSandbox> {
  const databaseUrl = await createDatabase(t)
  const ports = await freePorts(6)
  const pairs: [number, number][] = [
    [ports[0] ?? 0, ports[1] ?? 0],
    [ports[2] ?? 0, ports[3] ?? 0],
    [ports[4] ?? 0, ports[5] ?? 0],
  ]
  const publicPort = ports[1] ?? 0
  const sandbox = await startSandbox(t, { publicPort })
  const env = {
    AMO_REDIRECT_URI: `http://127.0.0.1:${publicPort}/api/v1/integrations/amo-crm/callback`,
    READ_WAIT_MS: String(underLoad(1_500)),
  }
  const replicas = await Promise.all(
    pairs.map((ports, index) =>
      startBroker(t, { databaseUrl, redis, sandbox, ports, env, ownProcess: index > 0 }),
    ),
  )
  await connectAccount(replicas[0] as TestBroker)
  return { replicas, sandbox, databaseUrl }
}

/**
 * Sends all callers at once, spread over the replicas, to an account whose token has just expired.
 */
async function callExpired({ replicas, databaseUrl }: BrokerWithSandbox) {
  // The plan stays in the future, so that only readers notice the expired token, and no scheduler.
  await query(
    databaseUrl,
    `update amo_tokens set "expiresAt" = now() - interval '1 second', "refreshAt" = now() - interval '1 minute',
       "nextAttemptAt" = now() + interval '1 hour'`,
  )
  const call = async (index: number): Promise<Answer> => {
    const answer = await (replicas[index % replicas.length] as TestBroker).get('/tokens/demo')
    // On a machine with other work, a query can take longer than readers wait. They ask again.
    return answer.status === 503 && isLoaded() ? call(index) : answer
  }
  return Promise.all(Array.from({ length: CALLERS }, (_, index) => call(index)))
}

async function provesOneRefresh(t: Test, all: BrokerWithSandbox): Promise<void> {
  const { sandbox } = all
  const answers = await callExpired(all)
  t.equal(sandbox.world.books.totals.refreshes, 1, 'the provider saw one refresh')
  t.equal(sandbox.world.books.totals.presentedAgain, 0, 'no refresh token was presented again')
  t.same([...new Set(answers.map(({ status }) => status))], [200], 'every caller got a token')
  const tokens = new Set(answers.map(({ body }) => body.access_token))
  t.equal(tokens.size, 1, 'all callers got the same token')
  const [token] = tokens
  t.ok(sandbox.world.grants.findAccess(token)?.state === 'live', 'which the provider accepts')
  t.same([...new Set(answers.map(({ body }) => body.generation))].length, 1)
}

t.test('300 callers on one expired account, three replicas: one refresh', async (t) => {
  await provesOneRefresh(t, await stage(t, redisUrl()))
})

t.test('300 callers on one expired account, Redis stopped: one refresh', async (t) => {
  const redis = await startProxy(t, redisUrl())
  const all = await stage(t, redis.url)
  redis.set('refuse')
  const [replica] = all.replicas
  await until(async () => {
    const { body } = await (replica as TestBroker).get('/health/ready')
    return body.degraded.some((line: string) => line.startsWith('redis'))
  })
  await provesOneRefresh(t, all)
})

t.test('300 callers on one expired account, Redis hanging: one refresh', async (t) => {
  const redis = await startProxy(t, redisUrl())
  const all = await stage(t, redis.url)
  redis.set('hang')
  await provesOneRefresh(t, all)
})

t.test('300 callers on one expired account, no Redis: one refresh', async (t) => {
  await provesOneRefresh(t, await stage(t, null))
})

t.test('kill -9 before the response arrives: another replica resolves the attempt', async (t) => {
  const databaseUrl = await createDatabase(t)
  const ports = await freePorts(4)
  const [internal = 0, open = 0, internal2 = 0, open2 = 0] = ports
  const sandbox = await startSandbox(t, { publicPort: open })
  const env = {
    AMO_REDIRECT_URI: `http://127.0.0.1:${open}/api/v1/integrations/amo-crm/callback`,
    SEND_LIMIT_MS: '500',
    SETTLE_MS: '200',
  }
  const first = await startBroker(t, {
    ...{ databaseUrl, sandbox, env },
    ports: [internal, open],
    ownProcess: true,
  })
  await connectAccount(first)
  const connectedAs = await generationOf(databaseUrl)
  sandbox.world.faults.set([
    { fault: 'drop_before_spend', times: 1 },
    { fault: 'silent', times: 1 },
  ])
  await query(databaseUrl, `update amo_tokens set "refreshAt" = now(), "nextAttemptAt" = now()`)
  await until(() => sandbox.world.books.totals.tokenCalls === 2)
  await first.stop('SIGKILL')
  await query(
    databaseUrl,
    `update amo_refresh_attempts set "leaseUntil" = now() - interval '1 minute'`,
  )
  const second = await startBroker(t, { databaseUrl, sandbox, ports: [internal2, open2], env })
  await until(() => sandbox.world.books.totals.refreshes === 1, 20_000)
  await until(async () => (await second.get('/tokens/demo')).body.generation > connectedAs)
  t.equal(sandbox.world.books.totals.presentedAgain, 0, 'sent again only after the probe')
  const attempts = await query(databaseUrl, `select outcome from amo_refresh_attempts`)
  t.same(attempts, [{ outcome: 'committed' }])
})

t.test('kill -9 after the response was journaled: the restarted process commits it', async (t) => {
  const databaseUrl = await createDatabase(t)
  const [internal = 0, open = 0] = await freePorts(2)
  const sandbox = await startSandbox(t, { publicPort: open })
  const proxy = await startProxy(t, databaseUrl)
  const dataDir = makeDataDir(t)
  const options = {
    sandbox,
    ports: [internal, open] as [number, number],
    dataDir,
    deploymentId: 'kept',
  }
  const first = await startBroker(t, { ...options, databaseUrl: proxy.url, ownProcess: true })
  await connectAccount(first)
  const connectedAs = await generationOf(databaseUrl)
  sandbox.world.faults.set([{ fault: 'delay_after_spend', delay_ms: 1_500, times: 1 }])
  await query(databaseUrl, `update amo_tokens set "refreshAt" = now(), "nextAttemptAt" = now()`)
  await until(() => sandbox.world.books.totals.tokenCalls === 2)
  await delay(200)
  proxy.set('refuse')
  await until(() => first.log().includes('refreshed token pair not stored yet'))
  await first.stop('SIGKILL')
  t.equal(await generationOf(databaseUrl), connectedAs, 'the commit did not happen')
  const second = await startBroker(t, { ...options, databaseUrl })
  const { status, body } = await second.get('/tokens/demo')
  t.equal(status, 200)
  t.ok(body.generation > connectedAs, 'the pair on disk was committed')
  t.equal(sandbox.world.grants.findAccess(body.access_token)?.state, 'live')
  t.equal(sandbox.world.books.totals.presentedAgain, 0)
})
