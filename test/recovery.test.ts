import { rmSync } from 'node:fs'
import t, { type Test } from 'tap'
import { tokenAt } from '../src/accounts/sealed-tokens.ts'
import { signDisconnect } from '../src/sandbox/server-calls.ts'
import { createVisitor } from '../src/sandbox/visitor.ts'
import { KeyRing } from '../src/vault/key-ring.ts'
import {
  CLIENT_ID,
  CLIENT_SECRET,
  connectAccount,
  ENCRYPTION_KEYS,
  startBroker,
  startSandbox,
  until,
} from './support/broker.ts'
import { createDatabase, query, redisUrl } from './support/database.ts'
import { freePorts } from './support/ports.ts'
import { startProxy } from './support/proxy.ts'
import { afterAttempt, presentedOnce, type Stage, setStage } from './support/stage.ts'

/** An unclear send is resolved soon after it. */
const FAST = { SEND_LIMIT_MS: '500', SETTLE_MS: '100' }

const SNAPSHOT = `create table before as select * from amo_tokens`
/** What a failover to a standby does that had not got the last commits. */
const FORGET_COMMITS = `
  delete from amo_refresh_attempts;
  delete from amo_tokens;
  insert into amo_tokens select * from before;`

/** A broker whose database can be taken away, killed after the provider's answer came and before it was committed. */
async function killedBeforeCommit(t: Test, redis: string | null) {
  const databaseUrl = await createDatabase(t)
  const [internal = 0, open = 0] = await freePorts(2)
  const sandbox = await startSandbox(t, { publicPort: open })
  const proxy = await startProxy(t, databaseUrl)
  const options = {
    sandbox,
    redis,
    ports: [internal, open] as [number, number],
    dataDir: t.testdir(),
    deploymentId: new URL(databaseUrl).pathname.slice(1),
    env: FAST,
  }
  const first = await startBroker(t, { ...options, databaseUrl: proxy.url })
  await connectAccount(first)
  sandbox.world.faults.set([{ fault: 'delay_after_spend', delay_ms: 1_000, times: 1 }])
  await query(databaseUrl, `update amo_tokens set "refreshAt" = now(), "nextAttemptAt" = now()`)
  await until(() => sandbox.world.books.totals.tokenCalls === 2)
  await query(databaseUrl, 'select pg_sleep(0.2)')
  proxy.set('refuse')
  await until(() => first.log().includes('refreshed token pair not stored yet'))
  await first.stop('SIGKILL')
  await query(
    databaseUrl,
    `update amo_refresh_attempts set "leaseUntil" = now() - interval '1 hour'`,
  )
  return { databaseUrl, sandbox, options }
}

t.test('killed before the commit, its disk gone: the copy in Redis is committed', async (t) => {
  const { databaseUrl, sandbox, options } = await killedBeforeCommit(t, redisUrl())
  rmSync(options.dataDir, { recursive: true })
  const dataDir = t.testdir()
  const second = await startBroker(t, { ...options, databaseUrl, dataDir })
  await until(async () => (await second.get('/tokens/demo')).body.generation > 1)
  const { body } = await second.get('/tokens/demo')
  t.equal(sandbox.world.grants.findAccess(body.access_token)?.state, 'live')
  t.equal(sandbox.world.books.totals.presentedAgain, 0)
})

t.test(
  'Redis unreachable is not an absent answer: the claim is kept until it is back',
  async (t) => {
    const redis = await startProxy(t, redisUrl())
    const { databaseUrl, sandbox, options } = await killedBeforeCommit(t, redis.url)
    rmSync(options.dataDir, { recursive: true })
    redis.set('refuse')
    const dataDir = t.testdir()
    const second = await startBroker(t, { ...options, databaseUrl, dataDir })
    await until(() => second.log().includes('refresh broke off'), 20_000)
    const { body } = await second.get('/accounts/demo')
    t.match(body, { status: 'active', generation: 1 }, 'nobody is condemned meanwhile')
    redis.set('pass')
    await until(async () => (await second.get('/tokens/demo')).body.generation > 1, 20_000)
    t.equal(sandbox.world.books.totals.presentedAgain, 0)
    t.notOk(second.log().includes('account must be authorized again'))
  },
)

t.test(
  'a failover forgets the commit: the kept answer is committed, nothing spent is sent',
  async (t) => {
    for (const store of ['disk', 'Redis'] as const) {
      const stage = await setStage(t, store === 'disk' ? { redis: null } : {})
      await query(stage.databaseUrl, SNAPSHOT)
      await stage.makeDue()
      const after = await afterAttempt(stage, 1)
      await query(stage.databaseUrl, FORGET_COMMITS)
      t.equal((await stage.row()).generation, 1, 'the database is back at the old pair')
      if (store === 'Redis') rmSync(stage.broker.dataDir, { recursive: true })
      await stage.makeDue()
      await until(async () => Number((await stage.row()).generation) > 1)
      const row = await stage.row()
      t.equal(row.refreshTokenFingerprint, after.refreshTokenFingerprint, `${store} had the pair`)
      t.equal(stage.sandbox.world.books.totals.refreshes, 1, 'the provider was not asked again')
      presentedOnce(t, stage)
    }
  },
)

t.test('an account that was condemned wrongly is found alive, and goes on', async (t) => {
  const stage = await setStage(t)
  stage.sandbox.world.faults.set([
    { fault: 'revoked', endpoint: 'token', times: 1 },
    { fault: 'probe_lies_dead', times: 1 },
  ])
  await stage.makeDue()
  await until(async () => (await stage.row()).status === 'reauth_required')
  t.match(await stage.row(), { isLater: true }, 'looked at again later')
  t.match((await stage.broker.get('/tokens/demo')).body, { warning: 'reauth_required' })
  await query(stage.databaseUrl, `update amo_tokens set "nextAttemptAt" = now()`)
  await until(async () => Number((await stage.row()).generation) > 1, 20_000)
  t.match(await stage.row(), { status: 'active', lastErrorCode: null })
  t.match(await stage.broker.get('/tokens/demo'), { status: 200 })
})

t.test('a condemned account that is dead: looked at later and later, never sent', async (t) => {
  const stage = await setStage(t)
  const account = stage.sandbox.world.directory.findAccount('demo', 'amocrm')
  if (account) stage.sandbox.world.grants.revoke(account)
  await stage.makeDue()
  await until(async () => (await stage.row()).status === 'reauth_required')
  const { tokenCalls } = stage.sandbox.world.books.totals
  for (const failedAttempts of [2, 3]) {
    await query(stage.databaseUrl, `update amo_tokens set "nextAttemptAt" = now()`)
    await until(async () => (await stage.row()).failedAttempts === failedAttempts, 20_000)
  }
  const [wait] = await query(
    stage.databaseUrl,
    `select extract(epoch from "nextAttemptAt" - now())::float8 as seconds from amo_tokens`,
  )
  t.ok(wait?.seconds > 2_000, `the third look comes after ${wait?.seconds} s`)
  t.match(await stage.row(), { status: 'reauth_required', lastErrorCode: 'spent_elsewhere' })
  t.equal(stage.sandbox.world.books.totals.tokenCalls, tokenCalls)
})

t.test('to be condemned, but a parked pair lives: it is adopted', async (t) => {
  const stage = await setStage(t)
  const first = await stage.row()
  await connectAccount(stage.broker)
  t.match(await stage.attempts(), [{ outcome: 'superseded', parked: true }])
  // The pair of the second consent is spent by somebody else; that of the first one lives on.
  const spent = await refreshBehindTheBroker(stage)
  t.ok(spent, 'spent behind the broker’s back')
  await stage.makeDue()
  await until(async () => (await stage.broker.get('/tokens/demo')).status === 200)
  await until(() => stage.broker.log().includes('parked token pair adopted'), 40_000)
  const row = await stage.row()
  t.equal(row.refreshTokenFingerprint, first.refreshTokenFingerprint)
  t.match(row, { status: 'active', lastErrorCode: null })
  t.equal(
    (await stage.attempts()).filter(({ parked }) => parked).length,
    1,
    'the one that it replaced is parked in its turn',
  )
})

/** Spends the newest pair as another service would that then loses the answer. */
async function refreshBehindTheBroker({ databaseUrl, sandbox, broker }: Stage): Promise<boolean> {
  const token = await openRefreshToken(databaseUrl)
  const answer = await createVisitor(sandbox.origin).token('demo.amocrm.ru', {
    client_id: CLIENT_ID,
    client_secret: CLIENT_SECRET,
    grant_type: 'refresh_token',
    refresh_token: token,
    redirect_uri: `${broker.publicUrl}/api/v1/integrations/amo-crm/callback`,
  })
  return answer.status === 200
}

async function openRefreshToken(databaseUrl: string): Promise<string> {
  const [row] = await query(
    databaseUrl,
    `select integration, "accountId"::int, generation::int, "refreshToken" from amo_tokens`,
  )
  if (row === undefined) throw new Error('no account')
  const at = tokenAt(
    { integration: row.integration, accountId: row.accountId, generation: row.generation },
    'refreshToken',
  )
  return KeyRing.parse(ENCRYPTION_KEYS).open(row.refreshToken, at).reveal()
}

t.test(
  'GET /hooks/disconnect: signed, one verdict a minute, and only the probe decides',
  async (t) => {
    const stage = await setStage(t)
    const { broker, sandbox } = stage
    const { accountId } = await stage.row()
    const hook = (signature: string) =>
      fetch(
        `${broker.publicUrl}/hooks/disconnect?account_id=${accountId}&client_uuid=${CLIENT_ID}&signature=${signature}`,
      )
    t.equal((await hook('0'.repeat(64))).status, 403, 'forged')
    t.equal((await hook('no hex')).status, 400)
    const signature = signDisconnect(CLIENT_SECRET, CLIENT_ID, Number(accountId))
    const probes = sandbox.world.books.totals.probes
    for (let time = 0; time < 20; time++) t.equal((await hook(signature)).status, 200)
    await until(() => broker.log().includes('disconnect hook judged'))
    t.match(await stage.row(), { status: 'active' }, 'replayed: the account lives')
    t.ok(sandbox.world.books.totals.probes - probes <= 2, 'twenty hooks, one look a minute')
    t.same(
      await query(
        stage.databaseUrl,
        `select distinct outcome from amo_inbox where kind = 'disconnect'`,
      ),
      [{ outcome: 'still_connected' }],
    )
    const unknown = signDisconnect(CLIENT_SECRET, CLIENT_ID, 4711)
    const answer = await fetch(
      `${broker.publicUrl}/hooks/disconnect?account_id=4711&client_uuid=${CLIENT_ID}&signature=${unknown}`,
    )
    t.equal(answer.status, 200, 'the same of an account that is not here')
    t.same(
      await query(stage.databaseUrl, `select from amo_inbox where "accountId" = 4711`),
      [],
      'and no row',
    )

    const account = sandbox.world.directory.findAccount('demo', 'amocrm')
    if (account) sandbox.world.grants.revoke(account)
    // A minute later, by the rows that say when the last one came.
    await query(stage.databaseUrl, `delete from amo_inbox where kind = 'disconnect'`)
    await hook(signature)
    await until(async () => (await stage.row()).status === 'disconnected')
    t.match(await broker.get('/tokens/demo'), { status: 409, body: { code: 'disconnected' } })
    await connectAccount(broker)
    t.match(await stage.row(), { status: 'active' }, 'consent again')
  },
)

t.test('the disconnect hook’s signature: the vector of the provider page', (t) => {
  const signature = signDisconnect('secret', '0eee11a7-0000-4000-8000-000000000001', 30878000)
  t.equal(signature, '778860301c6fb4d8cd8016db70ff84ae2395750d32d4e38a941f1270e0356fba')
  t.end()
})

t.test(
  'POST /tokens/:account/refresh with a newer generation: the lost commit is made again',
  async (t) => {
    const stage = await setStage(t)
    const report = (generation: number) => stage.broker.post('/tokens/demo/refresh', { generation })
    t.match(
      await report(4_711),
      { status: 503, body: { code: 'storage_unavailable' } },
      'unheard of',
    )
    t.equal(stage.sandbox.world.books.totals.refreshes, 0, 'never refreshed on')
    await query(stage.databaseUrl, SNAPSHOT)
    await stage.makeDue()
    const after = await afterAttempt(stage, 1)
    await query(stage.databaseUrl, FORGET_COMMITS)
    const { status, body } = await report(Number(after.generation) + 100)
    t.equal(status, 200)
    t.equal(stage.sandbox.world.grants.findAccess(body.access_token)?.state, 'live')
    t.equal(stage.sandbox.world.books.totals.refreshes, 1)
    t.match(stage.broker.log(), /reported generation is newer than the stored one/)
  },
)

t.test('accounts that nobody reads are refreshed monthly, and on demand', async (t) => {
  const stage = await setStage(t)
  const days = async () => {
    const [row] = await query(
      stage.databaseUrl,
      `select extract(epoch from "nextAttemptAt" - now())::float8 / 86400 as days from amo_tokens`,
    )
    return Number(row?.days)
  }
  t.ok((await days()) < 1, 'a new account counts as read')
  await query(
    stage.databaseUrl,
    `update amo_tokens set "createdAt" = now() - interval '8 days', "lastReadAt" = null`,
  )
  await stage.makeDue()
  const idle = await afterAttempt(stage, 1)
  t.ok((await days()) > 25 && (await days()) < 31, 'a month later')
  t.ok((idle.refreshAt as Date).getTime() < Date.now() + 86_400_000, 'the promise is not longer')

  await query(
    stage.databaseUrl,
    `update amo_tokens set "refreshAt" = now() - interval '1 day', "expiresAt" = now() - interval '1 hour'`,
  )
  const { status, body } = await stage.broker.get('/tokens/demo')
  t.match([status, body.generation > Number(idle.generation)], [200, true], 'on demand')
  await stage.broker.stop('SIGTERM')
  t.ok((await stage.row()).lastReadAt, 'the read is remembered')
})

t.test(
  'a shadow account is served and never rotated, for another service refreshes it',
  async (t) => {
    const stage = await setStage(t)
    await query(stage.databaseUrl, `update amo_tokens set shadow = true`)
    await stage.makeDue()
    await until(async () => (await stage.broker.get('/tokens/demo')).body.warning === 'shadow')
    t.match((await stage.broker.get('/tokens/demo')).body, { use_for: 0, generation: 1 })
    t.ok(await refreshBehindTheBroker(stage), 'the other service rotates')
    const { status, body } = await stage.broker.post('/tokens/demo/refresh', { generation: 1 })
    t.match([status, body.code], [503, 'provider_unavailable'])
    t.match(body.detail, /Another service refreshes/)
    t.equal(stage.sandbox.world.books.totals.refreshes, 1, 'only the other service’s')
    t.same(await stage.attempts(), [])
  },
)

t.test('a process that is started again is another owner', async (t) => {
  // R10: it would find its own claim of before, and send its token again without a probe.
  const stage = await setStage(t)
  const { databaseUrl, sandbox, broker } = stage
  await stage.makeDue()
  await afterAttempt(stage, 1)
  await broker.stop()
  const { dataDir } = broker
  await startBroker(t, { databaseUrl, sandbox, dataDir })
  await stage.makeDue()
  await afterAttempt(stage, 2)
  const owners = await query(databaseUrl, 'select distinct owner from amo_refresh_attempts')
  t.equal(owners.length, 2)
})
