import { AsyncLocalStorage } from 'node:async_hooks'
import crypto, { type BinaryLike, type CipherKey } from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import { setImmediate as turn } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import pg from 'pg'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { openBroker as openParts } from '../src/broker.ts'
import { loadConfig } from '../src/config/load-config.ts'
import { buildInternalApp } from '../src/http/internal.ts'
import { Secret } from '../src/vault/secret.ts'
import { deploymentOf, ENCRYPTION_KEYS, OPERATOR_KEY, until } from './support/broker.ts'
import { makeDataDir } from './support/data-dir.ts'
import { query, redisUrl } from './support/database.ts'
import { createDatabaseWithAccounts } from './support/database-with-accounts.ts'

/** The cost of one request. */
interface Deeds {
  queries: number
  redisCalls: number
  ciphers: number
  hashes: number
}

const requests = new AsyncLocalStorage<Deeds>()

/** Counts the work of a request. Timers, such as the heartbeat, belong to no request. */
function countCosts(): void {
  const { query: ask } = pg.Client.prototype
  pg.Client.prototype.query = function (this: pg.Client, ...args: Parameters<typeof ask>) {
    const deeds = requests.getStore()
    // The first statement of a new connection belongs to the pool.
    const isSetUp = String(args[0]).startsWith('set ')
    if (deeds !== undefined && !isSetUp) deeds.queries += 1
    return Reflect.apply(ask, this, args)
  } as typeof ask
  const { sendCommand } = Redis.prototype
  Redis.prototype.sendCommand = function (...args) {
    const deeds = requests.getStore()
    if (deeds !== undefined) deeds.redisCalls += 1
    return Reflect.apply(sendCommand, this, args)
  }
  const { createDecipheriv, createHmac } = crypto
  crypto.createDecipheriv = ((...args: [string, CipherKey, BinaryLike | null]) => {
    const deeds = requests.getStore()
    if (deeds !== undefined) deeds.ciphers += 1
    return createDecipheriv(...args)
  }) as typeof createDecipheriv
  crypto.createHmac = (...args: Parameters<typeof createHmac>) => {
    const deeds = requests.getStore()
    if (deeds !== undefined) deeds.hashes += 1
    return createHmac(...args)
  }
  syncBuiltinESMExports()
}

async function openBroker(t: Test, databaseUrl: string, env: Record<string, string> = {}) {
  const config = await loadConfig({
    DATABASE_URL: databaseUrl,
    REDIS_URL: redisUrl(),
    DEPLOYMENT_ID: deploymentOf(databaseUrl),
    DATA_DIR: makeDataDir(t),
    OPERATOR_KEY,
    ENCRYPTION_KEYS,
    ...env,
  })
  const log = pino({ level: 'silent' })
  const broker = await openParts(config, log)
  t.teardown(() => broker.close())
  const operatorKey = new Secret(OPERATOR_KEY)
  const app = await buildInternalApp({
    broker,
    log,
    operatorKey,
    trustProxy: false,
    internalTls: null,
    brandName: null,
  })
  t.teardown(() => app.close())
  await broker.start()
  return { app, broker }
}

/** Makes one read and returns its cost. */
async function read(app: FastifyInstance, url: string, headers: Record<string, string>) {
  const deeds: Deeds = { queries: 0, redisCalls: 0, ciphers: 0, hashes: 0 }
  const answer = await requests.run(deeds, async () => await app.inject({ url, headers }))
  // Without a turn of the event loop, injected requests would delay the heartbeat's echo.
  await turn()
  return { answer, deeds }
}

const NOTHING: Deeds = { queries: 0, redisCalls: 0, ciphers: 0, hashes: 0 }

t.test('GET /tokens/:account: the cost of a read', async (t) => {
  const { databaseUrl } = await createDatabaseWithAccounts(t, 3)
  countCosts()
  const { app } = await openBroker(t, databaseUrl)
  const made = await app.inject({
    method: 'POST',
    url: '/clients',
    headers: { authorization: `Bearer ${OPERATOR_KEY}` },
    payload: {
      name: 'sibling',
      role: 'reader',
      grants: [{ integration: 'amocrm', account: 'fleet-0' }],
    },
  })
  const headers = { authorization: `Bearer ${made.json().key}` }
  const accounts = await query<{ accountId: string; domain: string }>(
    databaseUrl,
    `select "accountId"::text, domain from amo_tokens order by domain`,
  )
  const [granted, other] = accounts

  await t.test('200: a miss costs one select and one decryption', async (t) => {
    // The directory is read again when its notification arrives, which belongs to no request.
    await until(async () => (await read(app, '/tokens/fleet-9', headers)).deeds.hashes === 0)
    const { answer, deeds } = await read(app, `/tokens/${granted?.accountId}`, headers)
    t.equal(answer.statusCode, 200)
    t.same(deeds, { ...NOTHING, queries: 1, ciphers: 1 })
  })

  await t.test(
    '200: a hit costs no query, no Redis call and no decryption, and one rendering per second',
    async (t) => {
      // The first read by this name is a miss.
      t.equal((await read(app, '/tokens/fleet-0', headers)).deeds.queries, 1)
      const all: Deeds[] = []
      const bodies = new Map<string, Set<string>>()
      for (let nth = 0; nth < 2_000; nth += 1) {
        const { answer, deeds } = await read(app, '/tokens/fleet-0', headers)
        all.push(deeds)
        const { expires_in, use_for } = answer.json()
        const second = `${expires_in}/${use_for}`
        bodies.set(second, (bodies.get(second) ?? new Set()).add(answer.body))
      }
      t.same(
        all.filter((deeds) => Object.values(deeds).some((count) => count > 0)),
        [],
      )
      t.ok(
        [...bodies.values()].every(({ size }) => size === 1),
        'one body a second',
      )
    },
  )

  await t.test('304: costs no more than a hit', async (t) => {
    const { answer } = await read(app, '/tokens/fleet-0', headers)
    const etag = String(answer.headers.etag)
    for (const value of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const { answer, deeds } = await read(app, '/tokens/fleet-0', {
        ...headers,
        'if-none-match': value,
      })
      t.equal(answer.statusCode, 304, value)
      t.same(deeds, NOTHING)
    }
  })

  await t.test('403: the grant is checked in memory, before the cache', async (t) => {
    const key = { authorization: `Bearer ${OPERATOR_KEY}` }
    await read(app, `/tokens/${other?.accountId}`, key)
    await read(app, `/tokens/${other?.accountId}`, key)
    const { answer } = await read(app, `/tokens/${other?.accountId}`, headers)
    t.equal(answer.statusCode, 403)
    t.notMatch(answer.body, /access_token/)
  })

  await t.test(
    '200: concurrent misses of one account share one select and one decryption',
    async (t) => {
      await query(
        databaseUrl,
        `update amo_tokens set "refreshAt" = "refreshAt" + interval '1 second'`,
      )
      // The update concerns both accounts, and the granted one is notified first.
      const operator = { authorization: `Bearer ${OPERATOR_KEY}` }
      await until(
        async () => (await read(app, `/tokens/${other?.accountId}`, operator)).deeds.queries === 1,
      )
      const name = granted?.accountId ?? ''
      const each = await Promise.all(
        Array.from({ length: 200 }, () => read(app, `/tokens/${name}`, headers)),
      )
      t.ok(each.every(({ answer }) => answer.statusCode === 200))
      t.equal(
        each.reduce((sum, { deeds }) => sum + deeds.queries, 0),
        1,
      )
      t.equal(
        each.reduce((sum, { deeds }) => sum + deeds.ciphers, 0),
        1,
      )
    },
  )

  await t.test('200: a hit never hides a warning', async (t) => {
    const key = { authorization: `Bearer ${OPERATOR_KEY}` }
    const warningOf = async (query = '') => {
      const { answer } = await read(app, `/tokens/fleet-1${query}`, key)
      t.equal(answer.statusCode, 200)
      return answer.json().warning
    }
    for (const expected of [undefined, undefined]) t.equal(await warningOf(), expected)
    t.equal(await warningOf('?min_ttl=86400'), 'min_ttl_capped', 'min_ttl is checked at each hit')
    t.equal(await warningOf(), undefined)
    await query(
      databaseUrl,
      `update amo_tokens set status = 'reauth_required' where domain like 'fleet-1.%'`,
    )
    await until(async () => (await warningOf()) === 'reauth_required')
    for (let nth = 0; nth < 5; nth += 1) t.equal(await warningOf(), 'reauth_required')
  })

  await t.test('hits are counted for the audit, by client, account and outcome', async (t) => {
    const counted = async () =>
      await query<{ times: number }>(
        databaseUrl,
        `select sum(times)::int as times from amo_audit
         where actor = 'sibling' and action = 'readToken' and outcome = 'done' and "accountId" = $1`,
        [granted?.accountId],
      )
    await until(async () => ((await counted())[0]?.times ?? 0) >= 2_203, 30_000)
    t.match(await counted(), [{ times: 2_203 }])
  })

  await t.test(
    '401: a revoked key is refused, even if it was recognised a moment ago',
    async (t) => {
      t.equal((await read(app, '/tokens/fleet-0', headers)).answer.statusCode, 200)
      await app.inject({
        method: 'DELETE',
        url: '/clients/sibling',
        headers: { authorization: `Bearer ${OPERATOR_KEY}` },
      })
      await until(
        async () => (await read(app, '/tokens/fleet-0', headers)).answer.statusCode === 401,
      )
    },
  )
})

t.test('GET /tokens/:account 200: at most CACHE_ACCOUNTS tokens are cached', async (t) => {
  const { databaseUrl } = await createDatabaseWithAccounts(t, 3)
  const { app } = await openBroker(t, databaseUrl, { CACHE_ACCOUNTS: '2' })
  const headers = { authorization: `Bearer ${OPERATOR_KEY}` }
  const selectsOf = async (name: string) => {
    const { answer, deeds } = await read(app, `/tokens/${name}`, headers)
    t.equal(answer.statusCode, 200)
    return deeds.queries
  }
  for (const name of ['fleet-0', 'fleet-1', 'fleet-2']) t.equal(await selectsOf(name), 1)
  t.equal(await selectsOf('fleet-2'), 0)
  t.equal(await selectsOf('fleet-1'), 0)
  t.equal(await selectsOf('fleet-0'), 1, 'it was evicted')
})
