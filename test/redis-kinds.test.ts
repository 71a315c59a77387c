import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { openRedis } from '../src/db/redis.ts'
import { RedisWatch } from '../src/db/redis-watch.ts'
import { Storage } from '../src/db/storage-state.ts'
import { Secret } from '../src/vault/secret.ts'
import { until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { makeCertificates } from './support/certificates.ts'
import { freePorts } from './support/ports.ts'
import { makeFolder, startServer, stopServer } from './support/services-local.ts'

const run = promisify(execFile)
const LOG = pino({ level: 'silent' })

/** Starts redis-server with these lines of configuration, and waits until it answers. */
async function startRedis(t: Test, lines: string[], args: string[] = []) {
  const stack = new AsyncDisposableStack()
  t.teardown(() => stack.disposeAsync())
  const folder = await makeFolder(stack, undefined)
  const [port = 0] = await freePorts(1)
  const file = join(folder, 'redis.conf')
  const all = [`port ${port}`, 'bind 127.0.0.1', `dir ${folder}`, ...lines]
  writeFileSync(file, `${all.join('\n')}\n`)
  const server = { stack, signal: undefined, folder, owner: undefined }
  const child = await startServer('redis-server', [file, ...args], server)
  const client = new Redis(port, '127.0.0.1', { maxRetriesPerRequest: null })
  stack.defer(() => client.disconnect())
  client.on('error', () => {})
  await until(() => client.ping().catch((error: Error) => /NOAUTH/.test(error.message)))
  return { port, client, stop: () => stopServer(child) }
}

const PLAIN = ['save ""', 'appendonly no']

t.test('Sentinel: the lock and the copies follow a failover', async (t) => {
  const primary = await startRedis(t, PLAIN)
  const replica = await startRedis(t, [...PLAIN, `replicaof 127.0.0.1 ${primary.port}`])
  const sentinel = await startRedis(
    t,
    [
      `sentinel monitor main 127.0.0.1 ${primary.port} 1`,
      'sentinel down-after-milliseconds main 500',
      'sentinel failover-timeout main 3000',
    ],
    ['--sentinel'],
  )
  await until(async () => /slave0=|slaves=1/.test(String(await sentinel.client.info('sentinel'))))
  const url = new Secret(`redis+sentinel://127.0.0.1:${sentinel.port}/main`)
  const redis = await openRedis(url, LOG)
  t.teardown(() => redis.disconnect())
  const watch = new RedisWatch(redis, 'test', new Storage(LOG), LOG)
  await watch.start()
  t.teardown(() => watch.stop())
  await until(() => watch.reason === undefined)
  await redis.set('before', 'kept')
  await until(async () => (await replica.client.get('before')) === 'kept')
  await primary.stop()
  await until(() => watch.reason !== undefined)
  await until(() => watch.reason === undefined)
  t.equal(await redis.get('before'), 'kept', 'the replica is the primary now')
})

/** Starts three nodes and lets them share the slots. */
async function startCluster(t: Test, lines: string[] = []) {
  const clustered = [...PLAIN, 'cluster-enabled yes', 'cluster-node-timeout 2000', ...lines]
  const nodes = await Promise.all([1, 2, 3].map(() => startRedis(t, clustered)))
  const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`)
  await run('redis-cli', ['--cluster', 'create', ...addresses, '--cluster-yes'])
  const isReady = async (client: Redis) =>
    /cluster_state:ok/.test(String(await client.cluster('INFO')))
  for (const { client } of nodes) await until(() => isReady(client))
  const addReplica = async ({ port, client }: (typeof nodes)[number]) => {
    const replica = await startRedis(t, clustered)
    const at = [`127.0.0.1:${replica.port}`, `127.0.0.1:${port}`]
    const id = String(await client.cluster('MYID'))
    await run('redis-cli', [
      ...['--cluster', 'add-node', ...at],
      ...['--cluster-slave', '--cluster-master-id', id],
    ])
    await until(async () => /master_link_status:up/.test(await replica.client.info('replication')))
    return replica
  }
  return { nodes, addReplica, url: `redis+cluster://${addresses.slice(0, 2).join(',')}` }
}

t.test('Cluster: refreshes, copies of responses and the limits of addresses', async (t) => {
  const { nodes, url } = await startCluster(t)
  const { broker, makeDue, row, sandbox } = await startBrokerWithSandbox(t, { redis: url })
  t.same((await broker.get('/health/ready')).body.degraded, [], 'every command works')
  const before = (await row()).generation as number
  await makeDue()
  await until(async () => ((await row()).generation as number) > before)
  t.equal(sandbox.world.books.totals.presentedAgain, 0)
  const keys = async () => (await Promise.all(nodes.map(({ client }) => client.keys('*')))).flat()
  await until(async () => (await keys()).some((key) => /:kept}:amocrm/.test(key)))
  const together = (await keys()).filter((key) => key.includes(':kept}'))
  const slots = together.map((key) => nodes[0]?.client.cluster('KEYSLOT', key))
  t.equal(new Set(await Promise.all(slots)).size, 1, 'keys of one transaction lie in one slot')
  t.equal((await fetch(`${broker.publicUrl}/connect/unknown`)).status, 404)
  await until(async () => (await keys()).some((key) => !/kept|refresh|watch/.test(key)))
  t.notMatch(broker.log(), /CROSSSLOT|MOVED|"level":50/)
})

t.test('Cluster: a node fails, and its replica takes over', async (t) => {
  const { nodes, addReplica, url } = await startCluster(t)
  const [failing] = nodes
  if (failing === undefined) throw new Error('no node')
  const replica = await addReplica(failing)
  const redis = await openRedis(new Secret(url), LOG)
  t.teardown(() => redis.disconnect())
  const watch = new RedisWatch(redis, 'test', new Storage(LOG), LOG)
  await watch.start()
  t.teardown(() => watch.stop())
  // The first node has the first third of the 16,384 slots.
  let key = 'key'
  while (Number(await failing.client.cluster('KEYSLOT', key)) > 5_000) key += '-'
  await redis.set(key, 'kept')
  await until(async () => (await replica.client.dbsize()) > 0)
  await failing.stop()
  await until(async () => /role:master/.test(await replica.client.info('replication')))
  await until(async () => (await redis.get(key).catch(() => null)) === 'kept')
  t.equal(await redis.set(key, 'new'), 'OK', 'the replica accepts writes')
  await until(() => watch.reason === undefined)
})

t.test('Cluster: a node that announces no address is named', async (t) => {
  const alone = await startRedis(t, [...PLAIN, 'cluster-enabled yes'])
  await alone.client.cluster('ADDSLOTSRANGE', 0, 16_383)
  const redis = await openRedis(new Secret(`redis+cluster://127.0.0.1:${alone.port}`), LOG)
  t.teardown(() => redis.disconnect())
  const watch = new RedisWatch(redis, 'test', new Storage(LOG), LOG)
  await watch.start()
  t.teardown(() => watch.stop())
  await until(() => /set cluster-announce-ip/.test(watch.reason ?? ''))
  await alone.client.config('SET', 'cluster-announce-ip', '127.0.0.1')
  await until(() => watch.reason === undefined)
  t.equal(await redis.set('key', 'value'), 'OK', 'it works as soon as it does')
})

t.test('an ACL user with the keys and commands of docs/deployment.md', async (t) => {
  const rules = /^(user broker .*)$/m.exec(readFileSync('docs/deployment.md', 'utf8'))?.[1]
  const server = await startRedis(t, [...PLAIN, `${rules}`.replace('<password>', 'right')])
  const redis = `redis://broker:right@127.0.0.1:${server.port}`
  const { broker, makeDue, row } = await startBrokerWithSandbox(t, { redis })
  const before = (await row()).generation as number
  await makeDue()
  await until(async () => ((await row()).generation as number) > before)
  await until(async () => (await server.client.keys('{amo:*')).length > 0)
  t.equal((await fetch(`${broker.publicUrl}/connect/unknown`)).status, 404)
  t.same((await broker.get('/health/ready')).body.degraded, [])
  t.notMatch(broker.log(), /NOPERM/)
})

t.test('TLS: a private authority is trusted through NODE_EXTRA_CA_CERTS only', async (t) => {
  const { caFile, server } = makeCertificates(t)
  const [tlsPort = 0] = await freePorts(1)
  await startRedis(t, [
    ...PLAIN,
    `tls-port ${tlsPort}`,
    `tls-cert-file ${server.certFile}`,
    `tls-key-file ${server.keyFile}`,
    `tls-ca-cert-file ${caFile}`,
    'tls-auth-clients no',
  ])
  const redis = `rediss://127.0.0.1:${tlsPort}`
  const plain = await startBrokerWithSandbox(t, { redis, connect: false })
  const degraded = async () => (await plain.broker.get('/health/ready')).body.degraded.join()
  await until(async () => /redis: (UNABLE_TO|SELF_SIGNED|CERT_)/.test(await degraded()))
  const trusting = await startBrokerWithSandbox(t, {
    redis,
    connect: false,
    ownProcess: true,
    env: { NODE_EXTRA_CA_CERTS: caFile },
  })
  await until(async () => (await trusting.broker.get('/health/ready')).body.status === 'ok')
  t.notMatch(trusting.broker.log(), /^[^{]/m, 'no line that is not JSON')
})

t.test('commands that fail: degraded with the reason, logged once', async (t) => {
  const primary = await startRedis(t, PLAIN)
  const replica = await startRedis(t, [...PLAIN, `replicaof 127.0.0.1 ${primary.port}`])
  const closed = await startRedis(t, [...PLAIN, 'requirepass right'])
  const node = await startRedis(t, [...PLAIN, 'cluster-enabled yes'])
  const sentinel = await startRedis(
    t,
    [`sentinel monitor main 127.0.0.1 ${primary.port} 1`],
    ['--sentinel'],
  )
  for (const [url, reason] of [
    [`redis://127.0.0.1:${replica.port}`, /READONLY/],
    [`redis://:wrong@127.0.0.1:${closed.port}`, /WRONGPASS/],
    [`redis://127.0.0.1:${closed.port}`, /NOAUTH/],
    [`redis://127.0.0.1:${node.port}`, /CLUSTERDOWN/],
    [`redis://127.0.0.1:${sentinel.port}`, /unknown command/],
    ['redis://127.0.0.1:1', /ECONNREFUSED/],
  ] as const) {
    const lines: string[] = []
    const log = pino({}, { write: (line: string) => void lines.push(line) })
    const redis = await openRedis(new Secret(url), log)
    const watch = new RedisWatch(redis, 'test', new Storage(LOG), log)
    await watch.start()
    await until(
      () => reason.test(watch.reason ?? ''),
      10_000,
      () => `${url}: ${watch.reason}`,
    )
    t.match(watch.reason, reason)
    const messages = lines.filter((line) => reason.test(line)).map((line) => JSON.parse(line).msg)
    t.ok(messages.length > 0)
    t.equal(new Set(messages).size, messages.length, 'each message once')
    watch.stop()
    redis.disconnect()
  }
})

t.test('readiness names the reason', async (t) => {
  const primary = await startRedis(t, PLAIN)
  const replica = await startRedis(t, [...PLAIN, `replicaof 127.0.0.1 ${primary.port}`])
  const redis = `redis://127.0.0.1:${replica.port}`
  const { broker } = await startBrokerWithSandbox(t, { redis, connect: false })
  await until(async () =>
    /redis: READONLY/.test((await broker.get('/health/ready')).body.degraded.join()),
  )
  t.pass('degraded')
})
