import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { openBroker } from '../src/broker.ts'
import { consent } from '../src/cli/project/demo-consent.ts'
import { loadConfig } from '../src/config/load-config.ts'
import { openDatabase } from '../src/db/database.ts'
import { migrateToLatest } from '../src/db/migrate.ts'
import { examineDataDir } from '../src/doctor/data-dir.ts'
import {
  connectAccount,
  ENCRYPTION_KEYS,
  startBroker,
  startSandbox,
  until,
} from './support/broker.ts'
import { CLI } from './support/cli.ts'
import { prepareEmbeddedStorage } from './support/embedded-storage.ts'
import { freePorts } from './support/ports.ts'
import { underLoad } from './support/under-load.ts'

const ROOT = join(import.meta.dirname, '..')

// They mostly wait for PGlite to create its directory, and for tokens to expire.
t.jobs = 2

async function portPair(): Promise<[internal: number, open: number]> {
  const [internal = 0, open = 0] = await freePorts(2)
  return [internal, open]
}

/**
 * Creates a folder that is removed after the brokers of the test have ended. tap removes its own
 * fixture folders before.
 */
function makeFolder(test: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'amo-embedded-'))
  test.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Returns a data directory of this test with initialised storage in it. */
async function preparedDataDir(test: Test): Promise<string> {
  const dataDir = makeFolder(test)
  await prepareEmbeddedStorage(t, dataDir)
  return dataDir
}

/** Runs a script of package.json to its end. */
async function run(script: string, env: Record<string, string>, args: string[] = [], cwd = ROOT) {
  const child = spawn(process.execPath, [script, ...args], {
    cwd,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = Promise.all([text(child.stdout), text(child.stderr)])
  const [code] = await once(child, 'exit')
  const [stdout, stderr] = await output
  return { code, stdout, stderr }
}

/** Returns a port that another process uses. */
async function takenPort(t: Test): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as { port: number }).port
}

t.test(
  'a start that fails half-way closes what it opened, and the next one succeeds',
  { buffered: true },
  async (t) => {
    // A file in the place of a directory makes the start fail after the lock was taken, and after
    // the database was opened.
    for (const obstacle of ['pglite', 'spool']) {
      const dataDir = t.testdir({ [obstacle]: 'in the way' })
      const config = await loadConfig({ DATA_DIR: dataDir, ENCRYPTION_KEYS })
      const log = pino({ level: 'silent' })
      await t.rejects(openBroker(config, log), obstacle)
      rmSync(join(dataDir, obstacle))
      const broker = await openBroker(config, log)
      await broker.start()
      t.equal(broker.health.readiness().status, 'ok')
      await broker.close()
      await (await openBroker(config, log)).close()
    }
  },
)

t.test(
  'operator.key is created once, readable by its owner only, and survives a restart',
  { buffered: true },
  async (t) => {
    const dataDir = join(makeFolder(t), 'made', 'by-the-broker')
    const file = join(dataDir, 'operator.key')
    const env = { OPERATOR_KEY: '' }
    const ports = await portPair()
    const sandbox = await startSandbox(t, { publicPort: ports[1] })
    const first = await startBroker(t, { dataDir, env, ports, sandbox })
    const key = readFileSync(file, 'utf8')
    t.match(key, /^amo_op_[\w-]{32}$/)
    t.equal(statSync(file).mode & 0o777, 0o600)
    t.equal(statSync(dataDir).mode & 0o777, 0o700)
    const authorization = `Bearer ${key}`
    t.equal((await first.get('/accounts', { authorization })).status, 200)
    t.equal((await first.get('/accounts')).status, 401, 'and no other key is taken')
    t.notMatch(first.log(), key, 'the log names the file alone')
    await consent({
      broker: first.url,
      key,
      integration: 'amocrm',
      account: 'demo',
      onStep: () => {},
    })
    await first.stop()
    const second = await startBroker(t, { dataDir, env, ports, sandbox })
    t.equal(readFileSync(file, 'utf8'), key)
    t.equal((await second.get('/tokens/demo', { authorization })).status, 200)
  },
)

t.test(
  'an existing folder with mode 0755: files 0600, folders 0700; the doctor names open ones',
  { buffered: true },
  async (t) => {
    const dataDir = await preparedDataDir(t)
    const all = () =>
      [dataDir].concat(
        readdirSync(dataDir, { recursive: true, withFileTypes: true }).map((entry) =>
          join(entry.parentPath, entry.name),
        ),
      )
    for (const path of all()) chmodSync(path, statSync(path).isDirectory() ? 0o755 : 0o644)
    const config = await loadConfig({ DATA_DIR: dataDir, ENCRYPTION_KEYS })
    const modeFindings = async () =>
      (await examineDataDir(config)).filter(({ found }) => /other users/.test(found))
    const [finding] = await modeFindings()
    t.match(finding, { verdict: 'warn', remedy: /chmod -R go-rwx/ })
    const database = await openDatabase(config, pino({ level: 'silent' }))
    const modes = () => [...new Set(all().map((path) => (statSync(path).mode & 0o777).toString(8)))]
    t.same(modes().toSorted(), ['600', '700'])
    t.same(await modeFindings(), [])
    await database.withDirect(migrateToLatest)
    t.equal(statSync(dataDir).mode & 0o777, 0o700, 'nobody gets to the files that PGlite makes')
    await database.close()
    t.same(modes().toSorted(), ['600', '700'])
  },
)

t.test(
  'tokens survive a stop and a kill, and are refreshed afterwards',
  { buffered: true },
  async (t) => {
    const dataDir = await preparedDataDir(t)
    const ports = await portPair()
    const sandbox = await startSandbox(t, { publicPort: ports[1] })
    const options = { dataDir, ports, sandbox }
    let broker = await startBroker(t, options)
    const { body: ready } = await broker.get('/health/ready')
    t.same(ready, { status: 'ok', mode: 'embedded', degraded: [] })
    t.throws(
      () => statSync(join(dataDir, 'operator.key')),
      { code: 'ENOENT' },
      'OPERATOR_KEY is set',
    )
    await connectAccount(broker)
    const { body: token } = await broker.get('/tokens/demo')
    for (const signal of ['SIGTERM', 'SIGKILL', 'SIGKILL'] as const) {
      t.equal(await broker.stop(signal), signal === 'SIGTERM' ? 0 : null)
      broker = await startBroker(t, options)
      const { status, body } = await broker.get('/tokens/demo')
      t.equal(status, 200, signal)
      t.equal(body.access_token, token.access_token)
      t.equal(body.generation, token.generation)
    }
    const { body } = await broker.post('/tokens/demo/refresh', { force: true })
    t.ok(body.generation > token.generation)
    await broker.stop('SIGKILL')
    broker = await startBroker(t, options)
    const { body: kept } = await broker.get('/tokens/demo')
    t.equal(kept.access_token, body.access_token, 'killed right after a refresh')
    t.equal(sandbox.world.grants.findAccess(kept.access_token)?.state, 'live')
    t.match(sandbox.world.books.totals, { refreshes: 1, presentedAgain: 0 })
  },
)

t.test(
  'a second process on the same DATA_DIR is refused, and the first continues',
  { buffered: true },
  async (t) => {
    const dataDir = await preparedDataDir(t)
    const ports = await portPair()
    const sandbox = await startSandbox(t, { publicPort: ports[1] })
    const first = await startBroker(t, { dataDir, ports, sandbox })
    await connectAccount(first)
    const env = { DATA_DIR: dataDir, ENCRYPTION_KEYS }
    for (const [script, ...args] of [[join(ROOT, 'src', 'main.ts')], [CLI, 'migrate']] as const) {
      const [internal, open] = await portPair()
      const ports = { INTERNAL_PORT: String(internal), PUBLIC_PORT: String(open) }
      const { code, stdout, stderr } = await run(script, { ...env, ...ports }, args, tmpdir())
      t.equal(code, 1, script)
      t.match(stdout + stderr, `${dataDir}/lock.sqlite is held: another broker uses this DATA_DIR`)
      t.match(stdout + stderr, /Stop it, or give this one its own DATA_DIR/)
    }
    t.equal((await first.get('/tokens/demo')).status, 200)
    const forced = await first.post('/tokens/demo/refresh', { force: true })
    t.equal(forced.status, 200, 'its storage takes writes as before')
    await first.stop('SIGKILL')
    const second = await startBroker(t, { dataDir, ports, sandbox })
    t.equal((await second.get('/tokens/demo')).body.access_token, forced.body.access_token)
  },
)

t.test(
  'tokens of ten seconds are refreshed before they expire, and no read gets a dead one',
  { buffered: true },
  async (t) => {
    const ports = await portPair()
    const sandbox = await startSandbox(t, {
      publicPort: ports[1],
      accessTtlSeconds: underLoad(10),
    })
    const dataDir = await preparedDataDir(t)
    const broker = await startBroker(t, { dataDir, ports, sandbox })
    await connectAccount(broker)
    const seen = new Set<number>()
    await until(
      async () => {
        const { status, body } = await broker.get('/tokens/demo')
        const isLive = sandbox.world.grants.findAccess(body.access_token)?.state === 'live'
        if (status !== 200 || !isLive) t.fail('a dead token', { status, body })
        seen.add(body.generation)
        return seen.size === 3
      },
      40_000,
      () => `only generations ${[...seen]}`,
    )
    t.match(sandbox.world.books.totals, { refreshes: 2, presentedAgain: 0 })
  },
)

t.test(
  'a port in use: the message names the setting, and the exit code is 1',
  { buffered: true },
  async (t) => {
    const folder = makeFolder(t)
    await Promise.all(
      ['INTERNAL_PORT', 'PUBLIC_PORT'].map(async (name, index) => {
        const port = String(await takenPort(t))
        const { code, stdout, stderr } = await run('src/main.ts', {
          DATA_DIR: join(folder, String(index)),
          ENCRYPTION_KEYS,
          INTERNAL_PORT: '0',
          PUBLIC_PORT: '0',
          [name]: port,
        })
        t.equal(code, 1)
        t.match(stdout + stderr, port)
        t.match(stdout + stderr, name)
      }),
    )
  },
)

/**
 * The demo writes to `.demo` in its working directory. A separate one protects the developer's
 * `.demo`.
 */
function demoFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'amo-demo-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  symlinkSync(join(ROOT, 'src'), join(folder, 'src'))
  return folder
}

async function demoPorts() {
  const ports = await freePorts(3)
  const [internal, open, sandbox] = ports.map(String) as [string, string, string]
  return { INTERNAL_PORT: internal, PUBLIC_PORT: open, SANDBOX_PORT: sandbox }
}

t.test(
  'npm run demo shows a refresh, exits with 0, and leaves no process',
  { buffered: true },
  async (t) => {
    const folder = demoFolder(t)
    const ports = await demoPorts()
    const { code, stdout, stderr } = await run(
      'src/cli/main.ts',
      ports,
      ['demo', '--seconds', '12'],
      folder,
    )
    t.equal(stderr, '')
    t.equal(code, 0, stdout)
    const token = `http://127.0.0.1:${ports.INTERNAL_PORT}/tokens/demo`
    t.match(stdout, `curl -s -H "Authorization: Bearer $(cat .demo/data/operator.key)" ${token}\n`)
    t.match(
      stdout,
      /12 tokens accepted by the API, 0 refused; [1-9]\d* refreshes, 0 re-used refresh tokens\n/,
    )
    t.match(stdout, /: demo\S* is connected\n/)
    const key = readFileSync(join(folder, '.demo', 'data', 'operator.key'), 'utf8')
    t.notMatch(stdout, key, 'the key is named, not shown')
    for (const port of Object.values(ports)) {
      await t.rejects(fetch(`http://127.0.0.1:${port}/`), `nobody listens on ${port} any more`)
    }
  },
)

t.test(
  'npm run demo: a port in use is named with its setting, and nothing is started',
  { buffered: true },
  async (t) => {
    const folder = demoFolder(t)
    const free = await demoPorts()
    for (const name of Object.keys(free)) {
      const port = await takenPort(t)
      const env = { ...free, [name]: String(port) }
      const { code, stdout, stderr } = await run(
        'src/cli/main.ts',
        env,
        ['demo', '--seconds', '1'],
        folder,
      )
      t.equal(code, 1)
      t.equal(stderr.trim(), `demo: port ${port} is taken: set ${name} to a free one`)
      t.equal(stdout, '')
    }
  },
)
