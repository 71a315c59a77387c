import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import pg from 'pg'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { openPostgres } from '../src/db/postgres.ts'
import { compareVersions, oldestVersionOf, VERSION } from '../src/db/schema-version.ts'
import { KeyRing } from '../src/vault/key-ring.ts'
import { Secret } from '../src/vault/secret.ts'
import {
  ENCRYPTION_KEYS,
  OPERATOR_KEY,
  startBroker,
  type TestBroker,
  until,
} from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { CLI } from './support/cli.ts'
import { makeDataDir } from './support/data-dir.ts'
import { createDatabase, createEmptyDatabase, query, serverUrl } from './support/database.ts'
import { createLedger } from './support/engine.ts'
import { freePorts } from './support/ports.ts'
import { startProxy } from './support/proxy.ts'
import { underLoad } from './support/under-load.ts'

/** The SQL in the guide. */
const GUIDE_SQL = 'SELECT "accountId", "expiresAt", "createdAt" FROM amo_tokens;'
const PASSWORD = 'canary-password'
/** An idle broker stops within this time. */
const STOP_LIMIT_MS = underLoad(5_000)

/** `amo-broker migrate`, without npm. */
async function migrate(t: Test, databaseUrl: string) {
  const env = {
    PATH: process.env.PATH,
    DATABASE_URL: databaseUrl,
    DEPLOYMENT_ID: 'test',
    DATA_DIR: t.testdir(),
    ENCRYPTION_KEYS,
    OPERATOR_KEY,
  }
  const stdio = ['ignore', 'pipe', 'pipe'] as const
  const child = spawn(process.execPath, [CLI, 'migrate'], {
    cwd: tmpdir(),
    env,
    stdio: [...stdio],
  })
  const output = Promise.all([text(child.stdout), text(child.stderr)])
  const [code] = await once(child, 'exit')
  const [stdout, stderr] = await output
  return { code, stdout, stderr }
}

/** Starts a broker without waiting. `ready` resolves when it is ready. */
async function begin(t: Test, databaseUrl: string) {
  const [internal = 0, open = 0] = await freePorts(2)
  const ready = startBroker(t, { databaseUrl, ports: [internal, open] })
  const get = (path: string) =>
    fetch(`http://127.0.0.1:${internal}${path}`, {
      headers: { authorization: `Bearer ${OPERATOR_KEY}` },
    })
  // If the broker exits at once, `ready` rejects with its log.
  await Promise.race([ready, until(() => get('/health/live').catch(() => undefined))])
  return { ready, get, publicUrl: `http://127.0.0.1:${open}` }
}

async function json(response: Promise<Response>): Promise<Record<string, unknown>> {
  return (await (await response).json()) as Record<string, unknown>
}

t.test('migrate: three at once on an empty database run each step once', async (t) => {
  for (let round = 1; round <= 3; round += 1) {
    const databaseUrl = await createEmptyDatabase(t)
    const all = await Promise.all([1, 2, 3].map(() => migrate(t, databaseUrl)))
    t.same(
      all.map(({ code, stderr }) => ({ code, stderr })),
      [1, 2, 3].map(() => ({ code: 0, stderr: '' })),
    )
    const lines = all.map(({ stdout }) => stdout.trim()).sort()
    t.match(lines[0], /^migrated: 001_deployment, 002_integrations, /)
    t.same(lines.slice(1), ['nothing to migrate', 'nothing to migrate'])
    const [row] = await query(
      databaseUrl,
      'select count(*)::int as all, count(distinct name)::int as names from kysely_migration',
    )
    t.equal(row?.all, row?.names)
  }
})

t.test('migrate: repeated, it changes nothing', async (t) => {
  const databaseUrl = await createEmptyDatabase(t)
  await migrate(t, databaseUrl)
  const before = await query(databaseUrl, 'select * from kysely_migration order by name')
  t.same(await migrate(t, databaseUrl), { code: 0, stdout: 'nothing to migrate\n', stderr: '' })
  t.same(await query(databaseUrl, 'select * from kysely_migration order by name'), before)
})

/** Changes the database like a newer version that supports `oldestVersion` and later. */
async function addNewerMigration(databaseUrl: string, oldestVersion: string): Promise<void> {
  await query(
    databaseUrl,
    `insert into kysely_migration (name, timestamp) values ('203001011200_newer', now()::text)`,
  )
  await query(databaseUrl, 'update amo_schema set "oldestVersion" = $1', [oldestVersion])
}

t.test('migrate: a newer database that this version can run on stays unchanged', async (t) => {
  const databaseUrl = await createDatabase(t)
  await addNewerMigration(databaseUrl, '0.1.0')
  const before = await query(databaseUrl, 'select * from kysely_migration order by name')
  t.same(await migrate(t, databaseUrl), {
    code: 0,
    stdout: 'newer than this version: nothing to migrate\n',
    stderr: '',
  })
  t.same(await query(databaseUrl, 'select * from kysely_migration order by name'), before)
  const broker = await startBroker(t, { databaseUrl })
  t.equal((await broker.get('/tokens/demo')).status, 404, 'and the broker starts on it')
})

t.test('migrate and start: a database that is too new is refused', async (t) => {
  const databaseUrl = await createDatabase(t)
  await addNewerMigration(databaseUrl, '99.0.0')
  const tooNew = /too new for this version: it has 203001011200_newer and needs version 99\.0\.0/
  t.match(await migrate(t, databaseUrl), { code: 1, stdout: '', stderr: tooNew })
  await t.rejects(startBroker(t, { databaseUrl, ownProcess: true }), { message: tooNew })
})

t.test('migrate and start: a database of another branch is refused', async (t) => {
  const databaseUrl = await createDatabase(t)
  await addNewerMigration(databaseUrl, '0.1.0')
  await query(databaseUrl, `delete from kysely_migration where name like '008_%'`)
  const other =
    /has migrations of another version \(203001011200_newer\) and lacks some of this one/
  t.match(await migrate(t, databaseUrl), { code: 1, stdout: '', stderr: other })
})

t.test(
  'migrate and start: a database from before the first release is refused with the remedy',
  async (t) => {
    const databaseUrl = await createEmptyDatabase(t)
    await query(databaseUrl, 'create table kysely_migration (name text, timestamp text)')
    for (const name of ['001_tables', '002_guards']) {
      await query(databaseUrl, 'insert into kysely_migration values ($1, now()::text)', [name])
    }
    const before =
      /made by a version before the first release.*empty database.*connect the accounts/
    t.match(await migrate(t, databaseUrl), { code: 1, stdout: '', stderr: before })
    await t.rejects(startBroker(t, { databaseUrl }), { message: before })
  },
)

t.test(
  'sql/: names sort in the order of merging, and each file states what runs beside it',
  async (t) => {
    const folder = new URL('../sql/', import.meta.url)
    const files = readdirSync(folder).filter((name) => name.endsWith('.sql'))
    t.ok(files.length > 0)
    for (const file of files) {
      t.match(file, /^(00\d|20\d{10})_[a-z_]+\.sql$/)
      const oldest = oldestVersionOf(file, readFileSync(new URL(file, folder), 'utf8'))
      t.ok(compareVersions(oldest, VERSION) <= 0, `${file}: not newer than the program`)
    }
    t.throws(() => oldestVersionOf('x.sql', 'create table x ()'), /first line must be/)
    t.ok(compareVersions('1.10.0', '1.9.9') > 0)
    t.equal(compareVersions('1.2.3', '1.2.3'), 0)
    t.ok(compareVersions('1.2.3', '2.0.0') < 0)
  },
)

t.test('migrate: a failure is reported in one line, without the password', async (t) => {
  const real = new URL(serverUrl())
  const variant = (change: Partial<URL>) =>
    Object.assign(new URL(real), { username: 'canary-nobody', password: PASSWORD, ...change }).href
  for (const [url, line] of [
    [variant({ hostname: '127.0.0.1', port: '1' }), /amo-broker: connect ECONNREFUSED/],
    [variant({ hostname: 'nowhere.invalid' }), /amo-broker: getaddrinfo/],
    [variant({}), /amo-broker: (role|password authentication|no pg_hba)/],
    [
      Object.assign(new URL(real), { pathname: '/amo_test_nothing' }).href,
      /amo-broker: database "amo_test_nothing" does not exist/,
    ],
    ['mysql://amo:canary-password@db/amo', /DATABASE_URL must be a URL/],
  ] as const) {
    const { code, stdout, stderr } = await migrate(t, url)
    t.equal(code, 1)
    t.equal(stdout, '')
    t.match(stderr, line)
    t.match(stderr, /^amo-broker: [^\n]+\n$/, 'one line')
    t.notMatch(stderr, PASSWORD)
  }
})

t.test('the guide’s SQL works unchanged', async (t) => {
  const { databaseUrl, row } = await startBrokerWithSandbox(t)
  const { accountId } = await row()

  await t.test('through pg', async (t) => {
    const rows = await query(databaseUrl, GUIDE_SQL)
    t.match(rows, [{ accountId: String(accountId), expiresAt: Date, createdAt: Date }])
  })

  const psql = spawnSync('psql', ['--version']).error === undefined
  await t.test('in psql', { skip: psql ? false : 'psql is not installed' }, async (t) => {
    const args = ['--no-psqlrc', '--csv', databaseUrl, '--command', GUIDE_SQL]
    const { status, stdout, stderr } = spawnSync('psql', args, { encoding: 'utf8' })
    t.equal(status, 0, stderr)
    const [header, line, ...more] = stdout.trim().split('\n')
    t.equal(header, 'accountId,expiresAt,createdAt')
    t.match(line, new RegExp(`^${accountId},\\d{4}-\\d\\d-\\d\\d .*,\\d{4}-`))
    t.same(more, [])
  })

  await t.test('and returns no readable token', async (t) => {
    const [stored] = await query(databaseUrl, 'select * from amo_tokens')
    t.match(stored, { accessToken: /^test\.[\w-]+$/, refreshToken: /^test\.[\w-]+$/ })
  })
})

t.test('an unmigrated database: alive, not ready, and ready by itself once migrated', async (t) => {
  const databaseUrl = await createEmptyDatabase(t)
  const { ready, get, publicUrl } = await begin(t, databaseUrl)
  await until(async () => (await json(get('/health/ready'))).status === 'unmigrated')
  t.equal((await get('/health/live')).status, 200)
  t.equal((await fetch(`${publicUrl}/health/live`)).status, 200)
  t.equal((await get('/health/ready')).status, 503)
  const answer = await get('/tokens/demo')
  t.equal(answer.status, 503)
  t.match(await answer.json(), { code: 'storage_unavailable', detail: /unmigrated/ })
  t.match(answer.headers.get('retry-after'), /^\d+$/)
  t.equal((await fetch(`${publicUrl}/connect/some-link`)).status, 503)
  t.same(
    await query(databaseUrl, `select from pg_tables where schemaname = 'public'`),
    [],
    'nothing was made there',
  )
  t.equal((await migrate(t, databaseUrl)).code, 0)
  const broker = await ready
  t.equal((await broker.get('/tokens/demo')).status, 404, 'it answers from the database')
  t.match(broker.log(), /database is not migrated: run amo-broker migrate/)
})

t.test('PostgreSQL down at the start: alive, not ready, and ready when it is up', async (t) => {
  for (const mode of ['refuse', 'hang'] as const) {
    const proxy = await startProxy(t, await createDatabase(t))
    proxy.set(mode)
    const { ready, get } = await begin(t, proxy.url)
    const readiness = await get('/health/ready')
    t.equal(readiness.status, 503)
    t.match(await readiness.json(), { status: 'starting' })
    const answer = await get('/tokens/demo')
    t.equal(answer.status, 503)
    t.match(await answer.json(), { code: 'storage_unavailable' })
    // Hanging connections stay so. The server accepts new ones again.
    proxy.set('refuse')
    proxy.set('pass')
    const broker = await ready
    t.equal((await broker.get('/tokens/demo')).status, 404, mode)
  }
})

t.test('PostgreSQL down at the start: SIGTERM ends the broker', async (t) => {
  const proxy = await startProxy(t, await createDatabase(t))
  proxy.set('refuse')
  const [internal = 0, open = 0] = await freePorts(2)
  const env = {
    PATH: process.env.PATH,
    DATABASE_URL: proxy.url,
    DEPLOYMENT_ID: 'test',
    DATA_DIR: makeDataDir(t),
    INTERNAL_PORT: String(internal),
    PUBLIC_PORT: String(open),
    ENCRYPTION_KEYS,
    OPERATOR_KEY,
  }
  const child = spawn(process.execPath, ['src/main.ts'], { env, stdio: 'ignore' })
  t.teardown(() => child.kill('SIGKILL'))
  await until(() => fetch(`http://127.0.0.1:${internal}/health/live`).catch(() => undefined))
  const ended = once(child, 'exit')
  const startedMs = performance.now()
  child.kill('SIGTERM')
  t.same(await ended, [0, null])
  t.ok(performance.now() - startedMs < STOP_LIMIT_MS)
})

t.test('a connection that is lost during its setup leaves the pool', async (t) => {
  const proxy = await startProxy(t, await createDatabase(t))
  const url = new Secret(proxy.url)
  const database = openPostgres(url, url, pino({ level: 'silent' }))
  for (const pool of [database.claims, database.db]) {
    // More often than either pool has connections.
    for (let times = 0; times < 12; times++) {
      const lost = proxy.loseAnswerTo('set statement_timeout').then(() => 'lost')
      await t.rejects(sql`select`.execute(pool), 'whoever met it is told')
      t.equal(await Promise.race([lost, delay(STOP_LIMIT_MS, 'none was made')]), 'lost')
    }
  }
  for (const pool of [database.claims, database.db]) await sql`select`.execute(pool)
  const closed = database.close().then(() => 'closed')
  t.equal(await Promise.race([closed, delay(STOP_LIMIT_MS, 'hangs')]), 'closed')
})

t.test('a process that is frozen during a commit does not lock its account for ever', async (t) => {
  const databaseUrl = await createDatabase(t)
  const url = new Secret(databaseUrl)
  const database = openPostgres(url, url, pino({ level: 'silent' }))
  t.teardown(() => database.close())
  const locked = Promise.withResolvers<void>()
  const thawed = Promise.withResolvers<void>()
  const lock = 'update amo_deployment set "createdAt" = "createdAt"'
  await query(
    databaseUrl,
    `insert into amo_deployment ("deploymentId", "rootSecret") values ('test', 'sealed')`,
  )
  const commit = database.claims.transaction().execute(async (trx) => {
    await sql.raw(lock).execute(trx)
    locked.resolve()
    await thawed.promise
  })
  commit.catch(() => {})
  await locked.promise
  await query(databaseUrl, lock)
  thawed.resolve()
  await t.rejects(commit, 'it hears of it when it goes on, and begins anew')
})

/** Copies the database, like a restored backup or a copy for staging. */
async function copyDatabase(t: Test, databaseUrl: string): Promise<string> {
  const name = new URL(databaseUrl).pathname.slice(1)
  const copy = `${name}_copy`
  await query(serverUrl(), `create database ${copy} template ${name}`)
  t.teardown(() => query(serverUrl(), `drop database ${copy} with (force)`))
  return databaseUrl.replace(name, copy)
}

/**
 * Creates a stopped broker that can be started again, and a second deployment on a copy of its
 * database.
 */
async function copyStage(t: Test, prepare: (databaseUrl: string) => Promise<unknown>) {
  const { broker, sandbox, databaseUrl } = await startBrokerWithSandbox(t)
  const { body: token } = await broker.get('/tokens/demo')
  await broker.stop()
  await prepare(databaseUrl)
  const copiedUrl = await copyDatabase(t, databaseUrl)
  const ports: [number, number] = [
    Number(new URL(broker.url).port),
    Number(new URL(broker.publicUrl).port),
  ]
  // The copy has everything that a successful call to the provider needs.
  const env = {
    AMO_REDIRECT_URI: `${broker.publicUrl}/api/v1/integrations/amo-crm/callback`,
    HEARTBEAT_MS: '500',
    READ_WAIT_MS: '300',
  }
  return {
    token,
    sandbox,
    databaseUrl,
    copiedUrl,
    startFirst: () => startBroker(t, { databaseUrl, sandbox, ports }),
    startSecond: () =>
      startBroker(t, { databaseUrl: copiedUrl, deploymentId: 'staging', sandbox, env }),
  }
}

t.test('a second deployment on a copied database spends no refresh token', async (t) => {
  const { token, sandbox, databaseUrl, copiedUrl, startFirst, startSecond } = await copyStage(
    t,
    (url) => query(url, `update amo_tokens set "refreshAt" = now(), "nextAttemptAt" = now()`),
  )
  const { tokenCalls } = sandbox.world.books.totals
  const second = await startSecond()

  await t.test('it starts, and /health/ready reports the other deployment', async (t) => {
    const { status, body } = await second.get('/health/ready')
    t.equal(status, 200)
    t.match(body, { status: 'degraded' })
    const first = new URL(databaseUrl).pathname.slice(1)
    t.match(body.degraded.join(), `deployment: the database belongs to "${first}"`)
    t.match(second.log(), /database belongs to another deployment/)
  })

  await t.test('it serves the stored token, and nothing makes it refresh', async (t) => {
    const { status, body } = await second.get('/tokens/demo')
    t.equal(status, 200)
    t.equal(body.access_token, token.access_token)
    const { generation } = token
    await Promise.all([
      second.post('/tokens/demo/refresh', { force: true }),
      second.post('/tokens/demo/refresh', { generation }),
      ...Array.from({ length: 20 }, () => second.get('/tokens/demo?min_ttl=80000')),
    ])
    t.equal((await second.get('/tokens/demo')).body.generation, generation)
    t.match(await query(copiedUrl, 'select status, generation::float8 from amo_tokens'), [
      { status: 'active', generation },
    ])
    t.same(await query(copiedUrl, 'select from amo_refresh_attempts'), [], 'not even a claim')
    await second.stop()
  })

  await t.test('it reclaims no unfinished claim of the copy', async (t) => {
    await query(
      copiedUrl,
      `insert into amo_refresh_attempts (integration, "accountId", generation, "refreshTokenFingerprint", owner, "leaseUntil")
       select integration, "accountId", generation, "refreshTokenFingerprint", 'copied', now() - interval '1 hour'
       from amo_tokens`,
    )
    const again = await startSecond()
    t.equal((await again.get('/tokens/demo')).status, 200)
    // A stop waits for the sweep that every start begins with.
    await again.stop()
    t.match(await query(copiedUrl, 'select owner, outcome from amo_refresh_attempts'), [
      { owner: 'copied', outcome: null },
    ])
  })

  t.equal(sandbox.world.books.totals.tokenCalls, tokenCalls, 'nothing was sent')

  await t.test('the first deployment refreshes the same token and loses nothing', async (t) => {
    const first = await startFirst()
    await until(async () => (await first.get('/tokens/demo')).body.generation > token.generation)
    t.match(sandbox.world.books.totals, { refreshes: 1, presentedAgain: 0 })
  })
})

t.test('a second deployment on a copied database presents no code of its inbox', async (t) => {
  // A callback that was stored but not yet processed when the copy was made.
  const fingerprint = 'a-code-that-waits'
  const at = { table: 'amo_inbox', row: fingerprint, column: 'secret', generation: 0 }
  const code = KeyRing.parse(ENCRYPTION_KEYS).seal('def502-code', at)
  const { sandbox, databaseUrl, copiedUrl, startFirst, startSecond } = await copyStage(t, (url) =>
    query(
      url,
      `insert into amo_inbox (kind, origin, integration, fingerprint, secret, referer, "receivedAt")
       values ('callback', 'consent', 'amocrm', $1, $2, 'demo.amocrm.ru', now() - interval '1 minute')`,
      [fingerprint, code],
    ),
  )
  const { tokenCalls } = sandbox.world.books.totals
  const waiting = (url: string) =>
    query(url, 'select "presentedAt", outcome from amo_inbox where fingerprint = $1', [fingerprint])
  await startSecond()
  await startFirst()
  await until(async () => (await waiting(databaseUrl))[0]?.outcome)
  t.same(await waiting(copiedUrl), [{ presentedAt: null, outcome: null }])
  t.equal(sandbox.world.books.totals.tokenCalls, tokenCalls + 1, 'the first deployment alone did')
})

t.test('amo_tokens notifies of changes that affect responses, and of no others', async (t) => {
  const { databaseUrl, addAccount } = await createLedger(t)
  const other = await addAccount({ integration: 'amocrm', accountId: 2 }, 60)
  const listener = new pg.Client({ connectionString: databaseUrl })
  await listener.connect()
  t.teardown(() => listener.end())
  const heard: string[] = []
  const channels = new Set<string>()
  listener.on('notification', ({ channel, payload = '' }) => {
    channels.add(channel)
    if (channel === 'amo_tokens') heard.push(payload)
  })
  await listener.query('listen amo_tokens')
  await listener.query('listen amo_accounts')
  const one = `integration = 'amocrm' and "accountId" = 30878000`

  /**
   * Returns the payloads that an act causes. Notifications arrive in the order of commits, so the
   * last one is our own.
   */
  async function heardDuring(act: () => Promise<unknown>): Promise<string[]> {
    heard.length = 0
    channels.clear()
    await act()
    await query(databaseUrl, `select pg_notify('amo_tokens', 'end')`)
    await until(() => heard.at(-1) === 'end')
    return heard.slice(0, -1)
  }
  const heardOf = (statement: string) => heardDuring(() => query(databaseUrl, statement))

  const later = `now() + interval '7 minutes'`
  const telling: Record<string, string> = {
    generation: `nextval('amo_generation')`,
    status: `'reauth_required'`,
    kind: `'long_lived'`,
    domain: `'renamed.amocrm.ru'`,
    apiDomain: `'api-b.amocrm.ru'`,
    expiresAt: later,
    refreshAt: later,
    nextAttemptAt: later,
    accessDeadAt: 'now()',
    lastErrorCode: `'blocked'`,
    paused: 'true',
    shadow: 'true',
  }
  const silent: Record<string, string> = {
    accessToken: `'test.resealed'`,
    refreshToken: `'test.resealed'`,
    refreshTokenFingerprint: `'another'`,
    refreshTokenExpiresAt: later,
    issuedAt: later,
    approvedAt: later,
    // Read again wherever a response needs it.
    failedAttempts: '3',
    checkedAt: later,
    suspectAt: later,
    lastReadAt: 'now()',
    lastRefreshAt: 'now()',
    lastErrorAt: 'now()',
    createdAt: later,
    updatedAt: later,
    statusSince: later,
    isRestored: 'true',
  }

  await t.test('every column either notifies or is listed as silent', async (t) => {
    const columns = await query(
      databaseUrl,
      `select column_name from information_schema.columns where table_name = 'amo_tokens'`,
    )
    const decided = [...Object.keys(telling), ...Object.keys(silent), 'integration', 'accountId']
    t.same(columns.map(({ column_name }) => column_name).sort(), decided.sort())
  })

  for (const [column, value] of Object.entries(telling)) {
    const payloads = await heardOf(`update amo_tokens set "${column}" = ${value} where ${one}`)
    const [row] = await query(databaseUrl, `select generation::float8 from amo_tokens where ${one}`)
    t.same(
      payloads.map((payload) => JSON.parse(payload)),
      [['amocrm', 30878000, row?.generation]],
      `${column}: the key and the generation, nothing else`,
    )
    t.equal(channels.has('amo_accounts'), column === 'domain', 'names are told of apart')
    const again = `update amo_tokens set "${column}" = "${column}" where ${one}`
    t.same(await heardOf(again), [], `${column}: not when it stays what it was`)
  }
  for (const [column, value] of Object.entries(silent)) {
    const payloads = await heardOf(`update amo_tokens set "${column}" = ${value} where ${one}`)
    t.same(payloads, [], column)
  }

  await t.test('inserts and deletes notify too, on both channels', async (t) => {
    const gone = await heardOf(`delete from amo_tokens where "accountId" = 2`)
    t.same(
      gone.map((payload) => JSON.parse(payload)),
      [['amocrm', 2, other]],
    )
    t.ok(channels.has('amo_accounts'))
    let generation = 0
    const added = await heardDuring(async () => {
      generation = await addAccount({ integration: 'amocrm', accountId: 2 }, 60)
    })
    t.same(
      added.map((payload) => JSON.parse(payload)),
      [['amocrm', 2, generation]],
    )
    t.ok(channels.has('amo_accounts'))
    t.ok(generation > other)
  })
})

t.test('a change in psql reaches a reader within a heartbeat', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t)
  t.equal((await broker.get('/tokens/demo')).status, 200)
  await query(databaseUrl, `update amo_tokens set status = 'disconnected'`)
  await until(async () => (await broker.get('/tokens/demo')).status === 409, 3_000)
})

t.test('SIGTERM: exit code 0 at once, despite open connections', async (t) => {
  const databaseUrl = await createDatabase(t)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const broker: TestBroker = await startBroker(t, { databaseUrl, ownProcess: true })
    // Keep-alive connections that fetch leaves open, on both listeners.
    await Promise.all(
      Array.from({ length: 10 }, () =>
        Promise.all([broker.get('/tokens/nobody'), fetch(`${broker.publicUrl}/health/live`)]),
      ),
    )
    const startedMs = performance.now()
    t.equal(await broker.stop(signal), 0, broker.log())
    t.ok(performance.now() - startedMs < STOP_LIMIT_MS, signal)
    t.match(broker.log(), /broker stopped/)
    t.notMatch(broker.log(), /"level":(50|60)/, 'and no error')
    await t.rejects(fetch(`${broker.url}/health/live`), 'nobody listens any more')
  }
  await until(async () => {
    const open = await query(serverUrl(), `select from pg_stat_activity where datname = $1`, [
      new URL(databaseUrl).pathname.slice(1),
    ])
    return open.length === 0
  })
})
