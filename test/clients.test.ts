import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import t from 'tap'
import { mintKey } from '../src/clients/client-key.ts'
import { ClientDirectory } from '../src/clients/directory.ts'
import { Heartbeat } from '../src/db/heartbeat.ts'
import { openPostgres } from '../src/db/postgres.ts'
import { KeyedHash } from '../src/vault/keyed-hash.ts'
import { Secret } from '../src/vault/secret.ts'
import { OPERATOR_KEY, startBroker, until } from './support/broker.ts'
import { ask, fromManyAddresses, makeClient } from './support/clients.ts'
import { createDatabase, query } from './support/database.ts'
import { startProxy } from './support/proxy.ts'
import { setStage } from './support/stage.ts'

const GRANT = [{ integration: 'amocrm', account: 'demo' }]
const operator = { authorization: `Bearer ${OPERATOR_KEY}` }

t.test('revocation reaches every replica within a second, grants too', async (t) => {
  const { broker, sandbox, databaseUrl } = await setStage(t)
  const other = await startBroker(t, { databaseUrl, sandbox })
  const asker = fromManyAddresses(t, 12)
  const statusAt = async (url: string, key: string) =>
    (await asker(url, 'GET', '/tokens/demo', { authorization: `Bearer ${key}` })).status
  const key = await makeClient(broker, 'shop', 'reader', GRANT)
  await until(async () => (await statusAt(other.url, key)) === 200, 1_000)
  await ask(broker.url, 'PUT', '/clients/shop/grants', operator, { grants: [] })
  await until(async () => (await statusAt(other.url, key)) === 403, 1_000)
  await ask(broker.url, 'DELETE', '/clients/shop', operator)
  t.equal(await statusAt(broker.url, key), 401, 'where it was done, at once')
  await until(async () => (await statusAt(other.url, key)) === 401, 1_000)
})

t.test('revocation reaches a replica whose LISTEN is dead and does not know it', async (t) => {
  const databaseUrl = await createDatabase(t)
  const { broker, sandbox } = await setStage(t, { databaseUrl })
  const listen = await startProxy(t, databaseUrl)
  const env = { DATABASE_DIRECT_URL: listen.url }
  const deaf = await startBroker(t, { databaseUrl, sandbox, env })
  const key = await makeClient(broker, 'shop', 'reader', GRANT)
  const good = { authorization: `Bearer ${key}` }
  const status = async () => (await ask(deaf.url, 'GET', '/tokens/demo', good)).status
  await until(async () => (await status()) === 200)
  listen.set('hang')
  await ask(broker.url, 'DELETE', '/clients/shop', operator)
  // Less than HEARTBEAT_MS, whenever the last echo came.
  await until(async () => (await status()) === 401, 2_000)
})

t.test('guessing: failures alone are limited, by address and for all replicas', async (t) => {
  const { broker, sandbox, databaseUrl } = await setStage(t)
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
      t.equal((await ask(url, 'GET', '/tokens/demo', good)).status, 200, 'a valid key is let in')
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
  t.equal(elsewhere.status, 401, 'another address is not held up')
})

t.test('keys are believed for a while without PostgreSQL, and no longer', async (t) => {
  const databaseUrl = await createDatabase(t)
  const url = new Secret(databaseUrl)
  const log = pino({ level: 'silent' })
  const database = openPostgres(url, url, log)
  const heartbeat = new Heartbeat(database, 'test', 3_000, log)
  const root = new Secret(Buffer.alloc(32, 1).toString('base64'))
  const hash = new KeyedHash(() => root, 'client-key')
  const directory = new ClientDirectory(database, heartbeat, hash, log, 1_500)
  const { id, key } = mintKey()
  const stored = { id, hash: hash.of(key), createdAt: new Date().toISOString(), expiresAt: null }
  await query(
    databaseUrl,
    `insert into amo_clients (name, role, keys) values ('x', 'reader', $1)`,
    [JSON.stringify([stored])],
  )
  t.match(await directory.authenticate(key.reveal()), { name: 'x', role: 'reader' })
  await database.close()
  t.match(await directory.authenticate(key.reveal()), { name: 'x' }, 'PostgreSQL is gone')
  await delay(1_600)
  await t.rejects(directory.authenticate(key.reveal()), { code: 'storage_unavailable' })
  t.equal(await directory.authenticate('nonsense'), undefined)
})
