import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openPlace } from '../src/escrow/open-place.ts'
import { Secret } from '../src/vault/secret.ts'
import {
  CLIENT_ID,
  CLIENT_SECRET,
  deploymentOf,
  ENCRYPTION_KEYS,
  OPERATOR_KEY,
  type TestBroker,
  until,
} from './support/broker.ts'
import { assertPresentedOnce } from './support/broker-with-sandbox.ts'
import { type CommandResult, runCli } from './support/cli.ts'
import { copyDatabase, createEmptyDatabase, query } from './support/database.ts'
import { createDatabaseWithAccounts } from './support/database-with-accounts.ts'
import { emit, makeEndpoint, PRIVATE } from './support/endpoints.ts'
import { newKey } from './support/keys.ts'
import { startReceiver } from './support/receivers.ts'
import { startS3Store } from './support/s3-store.ts'

const SIZE = 20
const LOST = 4

/** Starts a database with accounts whose brokers append to an escrow in a folder. */
async function stageOf(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'amo-escrow-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const stage = await createDatabaseWithAccounts(t, SIZE)
  const deployment = { DEPLOYMENT_ID: deploymentOf(stage.databaseUrl) }
  const escrow = { ...deployment, ESCROW_URL: `file://${folder}/place` }
  const cli = (databaseUrl: string, ...words: (string | Record<string, string>)[]) =>
    runCli(
      words.filter((word) => typeof word === 'string'),
      {
        ...escrow,
        DATABASE_URL: databaseUrl,
        ENCRYPTION_KEYS,
        OPERATOR_KEY,
        DATA_DIR: folder,
        AMO_SANDBOX_ORIGIN: stage.sandbox.origin,
        AMO_CLIENT_ID: CLIENT_ID,
        AMO_CLIENT_SECRET: CLIENT_SECRET,
        AMO_REDIRECT_URI: 'http://127.0.0.1/callback',
        NODE_NO_WARNINGS: '1',
        ...Object.assign({}, ...words.filter((word) => typeof word === 'object')),
      },
    )
  return { ...stage, escrow, folder: join(folder, 'place'), cli }
}

async function whenCaughtUp(databaseUrl: string, broker: TestBroker): Promise<void> {
  await until(
    async () => {
      const [state] = await query(
        databaseUrl,
        `select "snapshotSegment" > 0 and not exists (select from amo_escrow_changes) as done from amo_escrow`,
      )
      return state?.done === true
    },
    60_000,
    () => broker.log(),
  )
}

async function refreshAll(databaseUrl: string, broker: TestBroker, limit = SIZE): Promise<void> {
  const [{ newest } = { newest: 0 }] = await query(
    databaseUrl,
    'select max(generation)::float8 as newest from amo_tokens',
  )
  await query(
    databaseUrl,
    `update amo_tokens set "refreshAt" = now(), "nextAttemptAt" = now()
     where "accountId" in (select "accountId" from amo_tokens order by "accountId" limit $1)`,
    [limit],
  )
  await until(
    async () => {
      const rows = await query(databaseUrl, 'select from amo_tokens where generation > $1', [
        newest,
      ])
      return rows.length >= limit
    },
    120_000,
    () => broker.log(),
  )
}

t.test(
  'a lost database: last night’s backup and the escrow bring every account back',
  async (t) => {
    const { databaseUrl, sandbox, start, escrow, folder, cli } = await stageOf(t)
    const first = await start({ ...escrow, ...PRIVATE, PACE_PER_SECOND: '50' })
    const revoked = await first.post('/clients', { name: 'revoked', role: 'monitor' })
    const kept = await first.post('/clients', { name: 'kept', role: 'monitor' })
    const receiver = await startReceiver(t)
    const types = ['account.connected']
    for (const name of ['removed', 'replaced', 'changed'])
      await makeEndpoint(first, { name, url: `${receiver.origin}/old`, types })
    await label(first, 1, 'old name')
    await label(first, 2, 'withdrawn name')
    await whenCaughtUp(databaseUrl, first)
    await first.stop('SIGTERM')
    const backup = await copyDatabase(t, databaseUrl)

    const second = await start({ ...escrow, ...PRIVATE, PACE_PER_SECOND: '50' })
    await refreshAll(databaseUrl, second)
    for (const name of ['removed', 'replaced'])
      t.equal((await fetch(`${second.url}/endpoints/${name}`, withKey('DELETE'))).status, 204)
    await makeEndpoint(second, { name: 'replaced', url: `${receiver.origin}/new`, types })
    await change(second, '/endpoints/changed', { url: `${receiver.origin}/changed` })
    await makeEndpoint(second, { name: 'new', url: `${receiver.origin}/added`, types })
    await label(second, 1, 'Ёлка & Co')
    await label(second, 2, null)
    t.equal((await fetch(`${second.url}/clients/revoked`, withKey('DELETE'))).status, 204)
    t.equal((await fetch(`${second.url}/accounts/fleet-3`, withKey('DELETE'))).status, 200)
    await whenCaughtUp(databaseUrl, second)
    await second.stop()
    const [known] = await query(databaseUrl, 'select position from amo_event_head')

    const drill = await cli(databaseUrl, 'drill', '--json')
    t.match(jsonOf(drill), { accounts: SIZE - 1, lost: 0 }, 'the drill finds no loss')
    t.equal(drill.code, 0)
    const preview = await cli(backup, 'escrow', 'restore', '--dry-run', '--json')
    t.match(jsonOf(preview), { restored: false, accounts_renewed: SIZE - 1 })
    const restored = await cli(backup, 'escrow', 'restore', '--yes', '--json')
    t.match(jsonOf(restored), {
      restored: true,
      complete: true,
      accounts_renewed: SIZE - 1,
      accounts_removed: 1,
      accounts_uncovered: 0,
      endpoints: 3,
      endpoints_removed: 2,
      labels: 2,
      problems: [],
    })
    const [head] = await query(backup, 'select position from amo_event_head')
    t.ok(Number(head?.position) > Number(known?.position), 'no position of an event is used twice')

    const third = await start({ ...escrow, ...PRIVATE, PACE_PER_SECOND: '50' }, backup)
    const nameOf = async (account: number) =>
      (await third.get(`/accounts/fleet-${account}`)).body.label
    t.same([await nameOf(1), await nameOf(2)], ['Ёлка & Co', null])
    t.match((await third.get('/accounts?q=ёлка')).body.accounts, [{ label: 'Ёлка & Co' }])
    for (let account = 900; account < 903; account += 1)
      await emit(backup, account, 'account.connected')
    await until(() => receiver.received.length >= 9)
    t.same(
      [...new Set(receiver.received.map(({ path }) => path))].sort(),
      ['/added', '/changed', '/new'],
      'messages go where they went last',
    )
    t.equal((await third.get('/tokens/fleet-3')).status, 404, 'a removed account stays removed')
    const asClient = ({ body }: { body: { key: string } }) =>
      third.get('/accounts', { authorization: `Bearer ${body.key}` })
    t.equal((await asClient(revoked)).status, 401, 'a revoked client stays revoked')
    t.equal((await asClient(kept)).status, 200)
    await refreshAll(backup, third, SIZE - 1)
    t.equal(sandbox.world.books.totals.refreshes, 2 * SIZE - 1)
    assertPresentedOnce(t, { sandbox })
    t.match(third.log(), /restored token probed/)
    const verify = (...words: string[]) =>
      cli(backup, { DATA_DIR: second.dataDir }, 'audit', 'verify', '--json', ...words)
    const verified = await verify()
    t.match(jsonOf(verified), { problems: [], restores: [{ lostHeads: 2 }] })
    t.equal(verified.code, 0)
    const { seq, newestLost } = jsonOf(verified).restores[0]
    const invented = 'x'.repeat(43)
    for (const [why, line, expected] of [
      ['published after the restore', `${newestLost} ${invented} 2099-01-01T00:00:00.000Z`, false],
      ['of unknown time', `${newestLost} ${invented}`, false],
      ['a head that was remembered', `${newestLost} ${invented} 1`, false],
      ['of a row that the backup has', `${seq} ${invented} 2001-01-01T00:00:00.000Z`, false],
      ['of the lost time', `${newestLost + 1} ${invented} 2001-01-01T00:00:00.000Z`, true],
      ['of the lost time, in a log', `{"time":9,"seq":${seq + 1},"mac":"${invented}"}`, true],
    ] as const) {
      const heads = join(second.dataDir, 'heads')
      writeFileSync(heads, `${line}\n`)
      const { problems } = jsonOf(await verify('--heads', heads))
      t.equal(problems.length === 0, expected, `a foreign head ${why}`)
    }
    const audit = await third.get('/audit?action=databaseRestored')
    t.match(audit.body.entries, [
      { detail: { accountsRenewed: SIZE - 1, signature: /^[0-9a-f]{63}$/ } },
    ])
    await whenCaughtUp(backup, third)
    const status = await cli(backup, 'escrow', '--json')
    t.match(jsonOf(status), { complete: true, problems: [] }, 'a new snapshot was made')
    const text = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'))
    t.notMatch(text.join(), /fleet-|canary|127\.0\.0\.1|Ёлка/, 'nothing in the escrow is readable')
  },
)

t.test('what the escrow lacks: the drill’s number is that of the restore', async (t) => {
  const { databaseUrl, start, escrow, cli } = await stageOf(t)
  const first = await start({ ...escrow, PACE_PER_SECOND: '50' })
  await whenCaughtUp(databaseUrl, first)
  await first.stop('SIGTERM')
  const backup = await copyDatabase(t, databaseUrl)
  const other = new URL(databaseUrl)
  other.hostname = 'localhost'
  const itself = await cli(databaseUrl, { SCRATCH_URL: other.href }, 'drill')
  t.match(itself, { code: 1, err: /the scratch database is the real one/ })
  // A broker without the escrow: what it refreshes is nowhere else.
  const second = await start({ PACE_PER_SECOND: '50' })
  await refreshAll(databaseUrl, second, LOST)
  await second.stop('SIGTERM')
  const drill = await cli(databaseUrl, 'drill', '--json')
  t.match(jsonOf(drill), { accounts: SIZE, lost: LOST })
  t.equal(drill.code, 1)
  t.equal((await cli(backup, 'escrow', 'restore', '--yes')).code, 0)
  const verified = jsonOf(await cli(backup, 'verify', '--pace', '50', '--json'))
  const dead = verified.counts.find((each: { verdict: string }) => each.verdict === 'dead')
  t.equal(dead.accounts, LOST)
})

t.test('a retired key: the escrow holds nothing under it any more', async (t) => {
  const { databaseUrl, start, escrow, cli } = await stageOf(t)
  const first = await start({ ...escrow, PACE_PER_SECOND: '50' })
  await whenCaughtUp(databaseUrl, first)
  await first.stop('SIGTERM')
  const newest = newKey('newest')
  const rotated = await start({ ...escrow, ENCRYPTION_KEYS: `${newest},${ENCRYPTION_KEYS}` })
  const isResealed = () => /"place":"amo_tokens","resealed":20/.test(rotated.log())
  await until(isResealed, 60_000, () => rotated.log())
  await whenCaughtUp(databaseUrl, rotated)
  await rotated.stop('SIGTERM')
  const withNewest = await cli(databaseUrl, { ENCRYPTION_KEYS: newest }, 'escrow', '--json')
  t.match(jsonOf(withNewest), { complete: true, problems: [], keys: ['newest'] })
  const withoutNewest = await cli(databaseUrl, 'escrow', '--json')
  t.match(jsonOf(withoutNewest), { complete: false, problems: [/key newest is not in/] })
})

t.test('a place that is away at first: the snapshot is made when it is there', async (t) => {
  const { databaseUrl, start, escrow, folder, cli } = await stageOf(t)
  writeFileSync(folder, 'in the way')
  const broker = await start({ ...escrow, PACE_PER_SECOND: '50' })
  const degraded = async () => (await broker.get('/health/ready')).body.degraded.join()
  await until(async () =>
    /escrow: E[A-Z]+; pairs are stored in the database only/.test(await degraded()),
  )
  rmSync(folder)
  await whenCaughtUp(databaseUrl, broker)
  const { complete, problems, lines } = jsonOf(await cli(databaseUrl, 'escrow', '--json'))
  t.same({ complete, problems }, { complete: true, problems: [] })
  t.ok(lines > SIZE, 'every account is in it, also those that nobody has refreshed')
  await until(async () => !/escrow/.test(await degraded()))
})

t.test('a damaged escrow: each part is named, and nothing wrong is adopted', async (t) => {
  const { databaseUrl, start, escrow, folder, cli } = await stageOf(t)
  for (const _ of [1, 2]) {
    const broker = await start({ ...escrow, PACE_PER_SECOND: '50' })
    await refreshAll(databaseUrl, broker, 2)
    await whenCaughtUp(databaseUrl, broker)
    await broker.stop('SIGTERM')
  }
  const problems = async () => jsonOf(await cli(databaseUrl, 'escrow', '--json'))
  const files = readdirSync(folder).sort()
  const last = join(folder, files.at(-1) ?? '')
  t.same((await problems()).problems, [])
  appendFileSync(last, '{"deployment":"x')
  t.match(await problems(), { complete: true, problems: [/its last line .* is cut off/] })
  const broker = await start({ ...escrow, PACE_PER_SECOND: '50' })
  await refreshAll(databaseUrl, broker, 1)
  await whenCaughtUp(databaseUrl, broker)
  await broker.stop('SIGTERM')
  rmSync(last)
  t.match(await problems(), { complete: false, problems: [/segment \d+ is missing/] })
  const refused = await cli(databaseUrl, 'escrow', 'restore', '--yes')
  t.equal(refused.code, 1)
  t.match(refused.err, /incomplete/)
  await query(databaseUrl, `update amo_deployment set "deploymentId" = 'other'`)
  const foreign = await runCli(['escrow'], {
    ...escrow,
    DATABASE_URL: databaseUrl,
    DEPLOYMENT_ID: 'other',
    ENCRYPTION_KEYS,
    OPERATOR_KEY,
  })
  t.match(foreign.err, /the escrow belongs to the deployment/)
})

t.test('a directory, a second PostgreSQL and an S3 store keep the same contract', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'amo-escrow-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  process.env.AWS_ACCESS_KEY_ID = 'test'
  process.env.AWS_SECRET_ACCESS_KEY = 'test'
  const urls = {
    directory: `file://${folder}/new`,
    postgres: await createEmptyDatabase(t),
    s3: `s3://bucket/some/prefix?endpoint=${await startS3Store(t)}`,
  }
  for (const [name, url] of Object.entries(urls)) {
    await t.test(name, async (t) => {
      const place = await openPlace(new Secret(url))
      t.same(await place.segments(), [])
      await place.append(2, 0, ['one', 'two'])
      await place.append(2, 2, ['three'])
      await place.append(11, 0, ['ünïcode'])
      t.same(await place.segments(), [2, 11])
      t.same(await Array.fromAsync(place.read(2)), ['one', 'two', 'three'])
      t.same(await Array.fromAsync(place.read(11)), ['ünïcode'])
      await place.remove(2)
      t.same(await place.segments(), [11])
      t.notMatch(place.title, /:\/\/[^/]*@/, 'no password')
      await place.close()
    })
  }
})

function jsonOf({ out, err }: CommandResult) {
  if (out === '') throw new Error(err)
  return JSON.parse(out)
}

async function change(broker: TestBroker, path: string, body: unknown): Promise<void> {
  const { headers } = withKey('PATCH')
  const response = await fetch(broker.url + path, {
    method: 'PATCH',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
}

function label(broker: TestBroker, account: number, text: string | null): Promise<void> {
  return change(broker, `/accounts/fleet-${account}`, { label: text })
}

function withKey(method: string): RequestInit {
  return { method, headers: { authorization: `Bearer ${OPERATOR_KEY}` } }
}
