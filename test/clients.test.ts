import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import t from 'tap'
import { mintKey } from '../src/clients/client-key.ts'
import { ClientDirectory } from '../src/clients/directory.ts'
import { clientMac, keyHashOf } from '../src/clients/signature.ts'
import { Heartbeat } from '../src/db/heartbeat.ts'
import { openPostgres } from '../src/db/postgres.ts'
import { KeyedHash } from '../src/vault/keyed-hash.ts'
import { Secret } from '../src/vault/secret.ts'
import { OPERATOR_KEY, startBroker, until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { ask, fromManyAddresses, makeClient, signClient } from './support/clients.ts'
import { createDatabase, query } from './support/database.ts'
import { startProxy } from './support/proxy.ts'

const GRANT = [{ integration: 'amocrm', account: 'demo' }]
const operator = { authorization: `Bearer ${OPERATOR_KEY}` }

t.test('revocations and changes of grants reach every replica within a second', async (t) => {
  const { broker, sandbox, databaseUrl } = await startBrokerWithSandbox(t)
  const other = await startBroker(t, { databaseUrl, sandbox })
  const asker = fromManyAddresses(t, 12)
  const statusAt = async (url: string, key: string) =>
    (await asker(url, 'GET', '/tokens/demo', { authorization: `Bearer ${key}` })).status
  const key = await makeClient(broker, 'shop', 'reader', GRANT)
  await until(async () => (await statusAt(other.url, key)) === 200, 1_000)
  await ask(broker.url, 'PUT', '/clients/shop/grants', operator, { grants: [] })
  await until(async () => (await statusAt(other.url, key)) === 403, 1_000)
  await ask(broker.url, 'DELETE', '/clients/shop', operator)
  t.equal(await statusAt(broker.url, key), 401, 'at once on the replica that revoked it')
  await until(async () => (await statusAt(other.url, key)) === 401, 1_000)
})

t.test('a revocation reaches a replica whose LISTEN is dead', async (t) => {
  const databaseUrl = await createDatabase(t)
  const { broker, sandbox } = await startBrokerWithSandbox(t, { databaseUrl })
  const listen = await startProxy(t, databaseUrl)
  const env = { DATABASE_DIRECT_URL: listen.url }
  const deaf = await startBroker(t, { databaseUrl, sandbox, env })
  const key = await makeClient(broker, 'shop', 'reader', GRANT)
  const good = { authorization: `Bearer ${key}` }
  const status = async () => (await ask(deaf.url, 'GET', '/tokens/demo', good)).status
  await until(async () => (await status()) === 200)
  listen.set('hang')
  await ask(broker.url, 'DELETE', '/clients/shop', operator)
  // Less than HEARTBEAT_MS, however old the last echo is.
  await until(async () => (await status()) === 401, 2_000)
})

t.test('a key whose hash differs in its end is refused', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t)
  const key = await makeClient(broker, 'shop', 'reader', GRANT)
  const good = { authorization: `Bearer ${key}` }
  t.equal((await ask(broker.url, 'GET', '/tokens/demo', good)).status, 200)
  await query(
    databaseUrl,
    `update amo_clients set keys = jsonb_set(keys, '{0,hash}',
       to_jsonb(left(keys->0->>'hash', 20) || repeat('A', length(keys->0->>'hash') - 20)))`,
  )
  await signClient(databaseUrl, 'shop')
  await until(
    async () => (await ask(broker.url, 'GET', '/tokens/demo', good)).status === 401,
    10_000,
  )
})

t.test('guessing keys: only failures are limited, by address, across replicas', async (t) => {
  const { broker, sandbox, databaseUrl } = await startBrokerWithSandbox(t)
  const other = await startBroker(t, { databaseUrl, sandbox })
  const key = await makeClient(broker, 'shop', 'reader', GRANT)
  const good = { authorization: `Bearer ${key}` }
  const bad = { authorization: `Bearer ${key.slice(0, -1)}-` }
  const statuses: number[] = []
  let lastMs = 0
  for (let tried = 0; tried < 62; tried += 20) {
    const batch = Array.from({ length: 20 }, async (_, index) => {
      const startMs = performance.now()
      const url = index % 2 === 0 ? broker.url : other.url
      statuses.push((await ask(url, 'GET', '/tokens/demo', bad)).status)
      lastMs = performance.now() - startMs
      t.equal((await ask(url, 'GET', '/tokens/demo', good)).status, 200, 'a valid key is accepted')
    })
    await Promise.all(batch)
    if (tried === 40) t.ok(lastMs > 500, `slowed down: ${lastMs} ms`)
  }
  t.equal(statuses.filter((status) => status === 401).length, 60)
  const refused = await ask(other.url, 'GET', '/tokens/demo', bad)
  t.match(refused, { status: 429, body: { code: 'too_many_requests' } })
  t.ok(Number(refused.headers.get('retry-after')) > 0)
  t.equal((await ask(broker.url, 'GET', '/tokens/demo', good)).status, 200)
  const elsewhere = await fromManyAddresses(t, 13)(broker.url, 'GET', '/tokens/demo', bad)
  t.equal(elsewhere.status, 401, 'another address is not limited')
})

t.test('without PostgreSQL keys are trusted only for a limited time', async (t) => {
  const databaseUrl = await createDatabase(t)
  const url = new Secret(databaseUrl)
  const log = pino({ level: 'silent' })
  const database = openPostgres(url, url, log)
  const heartbeat = new Heartbeat(database, 'test', 3_000, log)
  const root = new Secret(Buffer.alloc(32, 1).toString('base64'))
  const hash = new KeyedHash(() => root, 'client-key')
  const directory = new ClientDirectory({ database, heartbeat, hash, log, trustedMs: 1_500 })
  const { id, key } = mintKey()
  const createdAt = new Date().toISOString()
  const stored = { id, hash: keyHashOf(hash, 'x', key), createdAt, expiresAt: null }
  const mac = clientMac(hash, { name: 'x', role: 'reader', keys: [stored], grants: [] })
  await query(
    databaseUrl,
    `insert into amo_clients (name, role, keys, mac) values ('x', 'reader', $1, $2)`,
    [JSON.stringify([stored]), mac],
  )
  t.match(await directory.authenticate(key.reveal()), { name: 'x', role: 'reader' })
  await database.close()
  t.match(await directory.authenticate(key.reveal()), { name: 'x' }, 'PostgreSQL is gone')
  await delay(1_600)
  await t.rejects(directory.authenticate(key.reveal()), { code: 'storage_unavailable' })
  t.equal(await directory.authenticate('nonsense'), undefined)
})
