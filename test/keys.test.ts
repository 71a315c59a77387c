import { pino } from 'pino'
import t from 'tap'
import { loadConfig } from '../src/config/load-config.ts'
import { bindDeployment } from '../src/db/deployment.ts'
import { openPostgres } from '../src/db/postgres.ts'
import { examineKeys } from '../src/doctor/keys.ts'
import { Spool } from '../src/journal/spool.ts'
import { Keys } from '../src/keys/service.ts'
import { KeyRing } from '../src/vault/key-ring.ts'
import { tokenAt } from '../src/vault/sealed-places.ts'
import { Secret } from '../src/vault/secret.ts'
import {
  CLIENT_ID,
  CLIENT_SECRET,
  connectAccount,
  OPERATOR_KEY,
  startBroker,
  until,
} from './support/broker.ts'
import { assertPresentedOnce, startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { runCli } from './support/cli.ts'
import { ask } from './support/clients.ts'
import { createDatabase, query } from './support/database.ts'
import { newKey, reseal, sealedUnder } from './support/keys.ts'

const OLD = newKey('old')
const NEW = newKey('new')
const operator = { authorization: `Bearer ${OPERATOR_KEY}` }

t.test(
  'a start without a key in use: names the key, and serves the tokens under other keys',
  async (t) => {
    const keys = `${NEW},${OLD}`
    const stage = await startBrokerWithSandbox(t, {
      env: { ENCRYPTION_KEYS: keys },
      sandbox: {
        accounts: [
          { platform: 'amocrm', subdomain: 'demo' },
          { platform: 'amocrm', subdomain: 'other' },
        ],
      },
    })
    const { broker, sandbox, databaseUrl } = stage
    await connectAccount(broker, 'other')
    await broker.stop()
    const [row] = await query(
      databaseUrl,
      `select *, generation::float8, "accountId"::int from amo_tokens where domain = 'other.amocrm.ru'`,
    )
    const [both, old] = [KeyRing.parse(keys), KeyRing.parse(OLD)]
    const key = { integration: 'amocrm', accountId: row?.accountId, generation: row?.generation }
    const under = (column: 'accessToken' | 'refreshToken') =>
      old.seal(both.open(row?.[column], tokenAt(key, column)), tokenAt(key, column))
    await query(
      databaseUrl,
      `update amo_tokens set "accessToken" = $1, "refreshToken" = $2, "nextAttemptAt" = now() where domain = 'other.amocrm.ru'`,
      [under('accessToken'), under('refreshToken')],
    )
    const without = await startBroker(t, { databaseUrl, sandbox, env: { ENCRYPTION_KEYS: NEW } })
    t.equal((await without.get('/tokens/demo')).status, 200)
    t.match(await without.get('/tokens/other'), {
      status: 503,
      body: { code: 'key_missing', detail: /"old"/ },
    })
    await until(() => /"key":"old".*encryption key is in use and not loaded/.test(without.log()))
    const { degraded } = (await without.get('/health/ready')).body
    t.ok(
      degraded.some((each: string) => each.startsWith('key old: ')),
      degraded.join(),
    )
    const checked = await reseal(
      {
        DATABASE_URL: databaseUrl,
        DEPLOYMENT_ID: 'x',
        OPERATOR_KEY,
        ENCRYPTION_KEYS: NEW,
        DATA_DIR: without.dataDir,
      },
      '--check',
    )
    t.match(checked, { code: 1, err: /^key "old": 2 values; it is not in ENCRYPTION_KEYS/ })
    await without.stop()

    await t.test(
      'the key restored: its values are re-sealed, and the key may be removed',
      async (t) => {
        const again = await startBroker(t, { databaseUrl, sandbox, env: { ENCRYPTION_KEYS: keys } })
        await until(() => /encryption key is no longer in use/.test(again.log()))
        t.equal((await again.get('/tokens/other')).status, 200)
        t.same(await sealedUnder(databaseUrl, 'old'), [])
        await again.stop()
      },
    )

    await t.test(
      'without the key of the root secret: the start fails and names the key',
      async (t) => {
        const child = startBroker(t, {
          databaseUrl,
          sandbox,
          ownProcess: true,
          env: { ENCRYPTION_KEYS: newKey('third') },
        })
        await t.rejects(child, { message: /The encryption key \\"new\\" is not loaded/ })
      },
    )
  },
)

t.test('re-sealing invalidates no cached token and changes no response', async (t) => {
  const { broker, databaseUrl, sandbox, row } = await startBrokerWithSandbox(t, {
    env: { ENCRYPTION_KEYS: OLD },
  })
  const before = await row()
  const first = await broker.get('/tokens/demo')
  const client = await import('pg').then(
    ({ default: pg }) => new pg.Client({ connectionString: databaseUrl }),
  )
  await client.connect()
  t.teardown(() => client.end())
  const heard: string[] = []
  client.on('notification', ({ channel }) => heard.push(channel))
  await client.query('listen amo_tokens')
  await client.query('listen amo_accounts')
  const env = {
    DATABASE_URL: databaseUrl,
    DEPLOYMENT_ID: 'x',
    OPERATOR_KEY,
    DATA_DIR: broker.dataDir,
  }
  const { code, out } = await reseal({ ...env, ENCRYPTION_KEYS: `${NEW},${OLD}` })
  t.equal(code, 0)
  t.match(out, /^amo_tokens +1 resealed$/m)
  const after = await row()
  t.match(after.refreshToken, /^new\./)
  const { accessToken: _a, refreshToken: _b, isLater: _c, ...unchanged } = before
  t.match(after, unchanged)
  await client.query('select 1')
  t.same(heard, [])
  const [fromCache] = [await broker.get('/tokens/demo')]
  t.equal(
    fromCache.body.access_token,
    first.body.access_token,
    'a replica with the old ring serves on',
  )
  const again = await reseal({ ...env, ENCRYPTION_KEYS: `${NEW},${OLD}` })
  t.match(again.out, /^amo_tokens +0 resealed$/m, 'a second pass finds nothing to do')
  assertPresentedOnce(t, { sandbox })
})

t.test('client secret: the next one is used only after the client was refused', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  const { broker, sandbox, databaseUrl, makeDue, row, attempts } = stage
  const next = 'canary-next-secret'
  const path = '/integrations/amocrm/next-client-secret'
  t.equal((await ask(broker.url, 'PUT', path, operator, { client_secret: next })).status, 204)
  const refreshed = async (than: unknown) => {
    await makeDue()
    await until(async () => (await row()).generation !== than, 30_000)
    return (await row()).generation
  }
  const second = await refreshed(1)
  t.same(
    (await attempts()).map(({ outcome }) => outcome),
    ['committed'],
    'the present one is good',
  )
  t.notMatch(broker.log(), /client secret refused/)

  const redirectUri = `${broker.publicUrl}/api/v1/integrations/amo-crm/callback`
  const knowsAs = (clientSecret: string, uri = redirectUri) =>
    sandbox.world.addIntegration({
      platform: 'amocrm',
      clientId: CLIENT_ID,
      clientSecret,
      redirectUri: uri,
    })
  knowsAs(CLIENT_SECRET, `${redirectUri}/`)
  await makeDue()
  await until(async () => (await attempts()).some(({ outcome }) => outcome === 'refused'), 30_000)
  t.notMatch(broker.log(), /client secret refused/, 'it is the redirect URI that was refused')

  knowsAs(next)
  await refreshed(second)
  t.match(broker.log(), /client secret refused, next one tried/)
  t.equal((await broker.get('/tokens/demo')).status, 200)
  await until(async () => (await broker.get('/health/ready')).body.status === 'ok')
  const outcomes = (await attempts()).map(({ outcome }) => outcome)
  t.same(outcomes, ['committed', 'refused', 'refused', 'committed'])
  assertPresentedOnce(t, stage)

  await t.test('a consent during a change of the secret succeeds', async (t) => {
    knowsAs(CLIENT_SECRET)
    await connectAccount(broker).catch(() => {})
    await until(async () => {
      const rows = await query(databaseUrl, `select outcome from amo_inbox where kind = 'callback'`)
      return rows.length === 2 && rows.every(({ outcome }) => outcome === 'connected')
    }, 30_000)
    t.pass('with the secret that was kept')
  })

  await t.test('a host that always responds 401 changes no secret', async (t) => {
    const swaps = () => broker.log().split('client secret refused').length
    const [before, { tokenCalls }] = [swaps(), sandbox.world.books.totals]
    sandbox.world.faults.set([{ fault: 'unauthorized_without_hint', endpoint: 'token', times: 2 }])
    await connectAccount(broker).catch(() => {})
    await until(async () => {
      const rows = await query(databaseUrl, `select outcome from amo_inbox where kind = 'callback'`)
      return rows.some(({ outcome }) => outcome === 'client_rejected')
    }, 30_000)
    t.equal(swaps(), before)
    t.equal(sandbox.world.books.totals.tokenCalls, tokenCalls + 2, 'with each of them once')
  })

  await t.test('every stored secret is sealed', async (t) => {
    const rows = JSON.stringify(await query(databaseUrl, 'select * from amo_integrations'))
    t.notMatch(rows, /canary/)
    t.notMatch(broker.log(), /canary/)
    t.equal((await ask(broker.url, 'DELETE', path, operator)).status, 204)
    t.equal(
      (
        await ask(broker.url, 'PUT', path.replace('amocrm', 'none'), operator, {
          client_secret: 'x',
        })
      ).status,
      404,
    )
  })
})

t.test('key rotation: only a key that was in use is reported as no longer in use', async (t) => {
  const url = new Secret(await createDatabase(t))
  const lines: string[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
  const database = openPostgres(url, url, log)
  t.teardown(() => database.close())
  await bindDeployment(database.db, KeyRing.parse(OLD), 'test')
  /** Returns the report of the first run of a replica that was started with these keys. */
  const retired = async (keys: string) => {
    lines.length = 0
    const spool = new Spool(t.testdir())
    const keyRing = KeyRing.parse(keys)
    const replica = new Keys({
      database,
      redis: null,
      spool,
      keyRing,
      deploymentId: 'test',
      log,
    })
    t.same([...replica.inUseIds], keyRing.keyIds, 'until it has looked, a key may be in use')
    await replica.run()
    t.same([...replica.inUseIds], [keyRing.sealsWith])
    return lines.map((line) => JSON.parse(line)).filter(({ msg }) => /no longer in use/.test(msg))
  }
  t.same(await retired(OLD), [])
  t.same(await retired(`${OLD},${NEW}`), [], 'step 1: the new key was added, and is not in use yet')
  t.match(await retired(`${NEW},${OLD}`), [{ key: 'old' }], 'step 2: everything was moved')
  t.match(await retired(`${NEW},${OLD}`), [{ key: 'old' }], 'a replica that starts later, too')
  t.same(await retired(NEW), [], 'step 3')
})

t.test('reseal --check and doctor: a key that was just added is not called unused', async (t) => {
  const databaseUrl = await createDatabase(t)
  const url = new Secret(databaseUrl)
  const database = openPostgres(url, url, pino({ level: 'silent' }))
  t.teardown(() => database.close())
  await bindDeployment(database.db, KeyRing.parse(OLD), 'test')
  const env = { DATABASE_URL: databaseUrl, DEPLOYMENT_ID: 'test', OPERATOR_KEY }
  const reports = async (keys: string, ...args: string[]) => {
    const settings = { ...env, ENCRYPTION_KEYS: keys, DATA_DIR: t.testdirName }
    const { out } = await reseal(settings, ...args)
    const config = await loadConfig(settings)
    return [out, JSON.stringify(await examineKeys(config, database))].join()
  }
  // The key that values were sealed under is recorded.
  await reports(OLD)
  const added = await reports(`${OLD},${NEW}`, '--check')
  t.notMatch(added, /no longer in use/)
  t.match(added, /key "new": 0 values; seals nothing yet/)
  t.match(added, /key \\"new\\" seals nothing yet/)
  const moved = await reports(`${NEW},${OLD}`)
  t.match(moved, /key "old": 0 values; no longer in use/)
  t.match(moved, /key \\"old\\" is no longer in use/)
})

t.test('keygen: key ids are unique, also on one day', async (t) => {
  const ids = new Set<string>()
  const rings: string[] = []
  for (let time = 0; time < 3; time += 1) {
    const { out } = await runCli(['keygen'], {})
    const [, keys = ''] = /^ENCRYPTION_KEYS=(.*)$/m.exec(out) ?? []
    rings.push(keys)
    for (const id of KeyRing.parse(keys).keyIds) ids.add(id)
  }
  t.equal(ids.size, 3)
  t.same(KeyRing.parse(rings.join(',')).keyIds, [...ids], 'all of them fit into one ring')
  const [same = ''] = rings
  t.throws(() => KeyRing.parse(`${same},${same}`), {
    message: /appears twice: rename the key that was added last/,
  })
})
