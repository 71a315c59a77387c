import { rmSync } from 'node:fs'
import t, { type Test } from 'tap'
import { signDisconnect } from '../src/sandbox/server-calls.ts'
import { createVisitor } from '../src/sandbox/visitor.ts'
import { KeyRing } from '../src/vault/key-ring.ts'
import { tokenAt } from '../src/vault/sealed-places.ts'
import {
  CLIENT_ID,
  CLIENT_SECRET,
  connectAccount,
  ENCRYPTION_KEYS,
  startBroker,
  startSandbox,
  until,
} from './support/broker.ts'
import {
  afterAttempt,
  assertPresentedOnce,
  type BrokerWithSandbox,
  generationOf,
  startBrokerWithSandbox,
} from './support/broker-with-sandbox.ts'
import { makeDataDir } from './support/data-dir.ts'
import { createDatabase, query, redisUrl } from './support/database.ts'
import { freePorts } from './support/ports.ts'
import { startProxy } from './support/proxy.ts'
import { underLoad } from './support/under-load.ts'
import { holdRowLock } from './support/waits.ts'

/** An unclear send is resolved soon. */
const FAST = { SEND_LIMIT_MS: String(underLoad(500)), SETTLE_MS: '100' }

const SNAPSHOT = `create table before as select * from amo_tokens`
/** Simulates a failover to a standby that lacks the last commits. */
const FORGET_COMMITS = `
  delete from amo_refresh_attempts;
  delete from amo_tokens;
  insert into amo_tokens select * from before;`

/**
 * A broker with an interruptible database connection, killed between the provider's response and
 * the commit.
 */
async function killedBeforeCommit(t: Test, redis: string | null) {
  const databaseUrl = await createDatabase(t)
  const [internal = 0, open = 0] = await freePorts(2)
  const sandbox = await startSandbox(t, { publicPort: open })
  const proxy = await startProxy(t, databaseUrl)
  const options = {
    sandbox,
    redis,
    ownProcess: true,
    ports: [internal, open] as [number, number],
    dataDir: makeDataDir(t),
    deploymentId: new URL(databaseUrl).pathname.slice(1),
    env: FAST,
  }
  const first = await startBroker(t, { ...options, databaseUrl: proxy.url })
  await connectAccount(first)
  sandbox.world.faults.set([{ fault: 'delay_after_spend', delay_ms: underLoad(1_000), times: 1 }])
  await query(databaseUrl, `update amo_tokens set "refreshAt" = now(), "nextAttemptAt" = now()`)
  await until(() => sandbox.world.books.totals.tokenCalls === 2)
  proxy.set('refuse')
  await until(() => first.log().includes('refreshed token pair not stored yet'))
  await first.stop('SIGKILL')
  await query(
    databaseUrl,
    `update amo_refresh_attempts set "leaseUntil" = now() - interval '1 hour'`,
  )
  const connectedAs = await generationOf(databaseUrl)
  return { databaseUrl, sandbox, options, connectedAs }
}

t.test('killed before the commit, its disk gone: the copy in Redis is committed', async (t) => {
  const { databaseUrl, sandbox, options, connectedAs } = await killedBeforeCommit(t, redisUrl())
  rmSync(options.dataDir, { recursive: true })
  const dataDir = makeDataDir(t)
  const second = await startBroker(t, { ...options, databaseUrl, dataDir })
  await until(async () => (await second.get('/tokens/demo')).body.generation > connectedAs)
  const { body } = await second.get('/tokens/demo')
  t.equal(sandbox.world.grants.findAccess(body.access_token)?.state, 'live')
  t.equal(sandbox.world.books.totals.presentedAgain, 0)
})

t.test(
  'Redis unreachable does not mean an absent response: the claim stays open until it is back',
  async (t) => {
    const redis = await startProxy(t, redisUrl())
    const { databaseUrl, sandbox, options, connectedAs } = await killedBeforeCommit(t, redis.url)
    rmSync(options.dataDir, { recursive: true })
    redis.set('refuse')
    const dataDir = makeDataDir(t)
    const second = await startBroker(t, { ...options, databaseUrl, dataDir })
    await until(() => second.log().includes('refresh broke off'), 20_000)
    const { body } = await second.get('/accounts/demo')
    t.match(body, { status: 'active', generation: connectedAs }, 'nobody is condemned meanwhile')
    redis.set('pass')
    await until(
      async () => (await second.get('/tokens/demo')).body.generation > connectedAs,
      20_000,
    )
    t.equal(sandbox.world.books.totals.presentedAgain, 0)
    t.notOk(second.log().includes('account must be authorized again'))
  },
)

t.test(
  'a failover forgets the commit: the journaled response is committed, no spent token is sent',
  async (t) => {
    for (const store of ['disk', 'Redis'] as const) {
      const stage = await startBrokerWithSandbox(t, store === 'disk' ? { redis: null } : {})
      await query(stage.databaseUrl, SNAPSHOT)
      await stage.makeDue()
      const after = await afterAttempt(stage, 1)
      await query(stage.databaseUrl, FORGET_COMMITS)
      t.equal(
        (await stage.row()).generation,
        stage.connectedAs,
        'the database is back at the old pair',
      )
      if (store === 'Redis') rmSync(stage.broker.dataDir, { recursive: true })
      await stage.makeDue()
      await until(async () => Number((await stage.row()).generation) > stage.connectedAs)
      const row = await stage.row()
      t.equal(row.refreshTokenFingerprint, after.refreshTokenFingerprint, `${store} had the pair`)
      t.equal(stage.sandbox.world.books.totals.refreshes, 1, 'the provider was not asked again')
      assertPresentedOnce(t, stage)
    }
  },
)

t.test('an account that is reauth_required by mistake is found alive and refreshed', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  stage.sandbox.world.faults.set([
    { fault: 'revoked', endpoint: 'token', times: 1 },
    { fault: 'probe_lies_dead', times: 1 },
  ])
  await stage.makeDue()
  await until(async () => (await stage.row()).status === 'reauth_required')
  t.match(await stage.row(), { isLater: true }, 'looked at again later')
  t.match((await stage.broker.get('/tokens/demo')).body, { warning: 'reauth_required' })
  await query(stage.databaseUrl, `update amo_tokens set "nextAttemptAt" = now()`)
  await until(async () => Number((await stage.row()).generation) > stage.connectedAs, 20_000)
  t.match(await stage.row(), { status: 'active', lastErrorCode: null })
  t.match(await stage.broker.get('/tokens/demo'), { status: 200 })
})

t.test(
  'an account that is reauth_required and dead: rechecked less and less often, never sent',
  async (t) => {
    const stage = await startBrokerWithSandbox(t)
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
  },
)

t.test('before reauth_required: a live parked pair is adopted', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  const first = await stage.row()
  await connectAccount(stage.broker)
  t.match(await stage.attempts(), [{ outcome: 'superseded', parked: true }])
  // Another service has spent the pair of the second consent. The pair of the first one is alive.
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

/** Spends the newest pair like another service that then loses the response. */
async function refreshBehindTheBroker({
  databaseUrl,
  sandbox,
  broker,
}: BrokerWithSandbox): Promise<boolean> {
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
    `select integration, "accountId"::int, generation::float8, "refreshToken" from amo_tokens`,
  )
  if (row === undefined) throw new Error('no account')
  const at = tokenAt(
    { integration: row.integration, accountId: row.accountId, generation: row.generation },
    'refreshToken',
  )
  return KeyRing.parse(ENCRYPTION_KEYS).open(row.refreshToken, at).reveal()
}

t.test(
  'GET /hooks/disconnect: signed, one check per minute, and only the probe decides',
  async (t) => {
    const stage = await startBrokerWithSandbox(t)
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
    await until(() => broker.log().includes('disconnect hook resolved'))
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
    // Simulates a minute later in the rows that record the last hook.
    await query(stage.databaseUrl, `delete from amo_inbox where kind = 'disconnect'`)
    await hook(signature)
    await until(async () => (await stage.row()).status === 'disconnected')
    t.match(await broker.get('/tokens/demo'), { status: 409, body: { code: 'disconnected' } })
    await connectAccount(broker)
    t.match(await stage.row(), { status: 'active' }, 'consent again')
  },
)

t.test('the disconnect hook’s signature: the vector of docs/provider.md', (t) => {
  const signature = signDisconnect('secret', '0eee11a7-0000-4000-8000-000000000001', 30878000)
  t.equal(signature, '778860301c6fb4d8cd8016db70ff84ae2395750d32d4e38a941f1270e0356fba')
  t.end()
})

t.test(
  'POST /tokens/:account/refresh with a newer generation: the lost commit is repeated',
  async (t) => {
    const stage = await startBrokerWithSandbox(t)
    const report = (generation: number) => stage.broker.post('/tokens/demo/refresh', { generation })
    t.match(
      await report(4_711),
      { status: 400, body: { code: 'unknown_generation' } },
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

t.test('idle accounts are refreshed monthly and on demand', async (t) => {
  const stage = await startBrokerWithSandbox(t)
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
  'a shadow account is served and never rotated, because another service refreshes it',
  async (t) => {
    const stage = await startBrokerWithSandbox(t)
    await query(stage.databaseUrl, `update amo_tokens set shadow = true`)
    await stage.makeDue()
    await until(async () => (await stage.broker.get('/tokens/demo')).body.warning === 'shadow')
    t.match((await stage.broker.get('/tokens/demo')).body, {
      use_for: 0,
      generation: stage.connectedAs,
    })
    t.ok(await refreshBehindTheBroker(stage), 'the other service rotates')
    const { status, body } = await stage.broker.post('/tokens/demo/refresh', {
      generation: stage.connectedAs,
    })
    t.match([status, body.code], [503, 'provider_unavailable'])
    t.match(body.detail, /Another service refreshes/)
    t.equal(stage.sandbox.world.books.totals.refreshes, 1, 'only the other service’s')
    t.same(await stage.attempts(), [])
  },
)

t.test('a restarted process is another owner', async (t) => {
  // R10: otherwise it would find its own earlier claim, and send the token again without a probe.
  const stage = await startBrokerWithSandbox(t, { ownProcess: true })
  const { databaseUrl, sandbox, broker } = stage
  await stage.makeDue()
  await afterAttempt(stage, 1)
  await broker.stop()
  const { dataDir } = broker
  await startBroker(t, { databaseUrl, sandbox, dataDir, ownProcess: true })
  await stage.makeDue()
  await afterAttempt(stage, 2)
  const owners = await query(databaseUrl, 'select distinct owner from amo_refresh_attempts')
  t.equal(owners.length, 2)
})

t.test(
  'a journaled response that cannot be committed at the start: no account becomes reauth_required',
  async (t) => {
    const { databaseUrl, sandbox, options, connectedAs } = await killedBeforeCommit(t, redisUrl())
    // Another transaction locks the row for longer than any statement of the broker waits.
    const lock = await holdRowLock(t, databaseUrl, 'select from amo_tokens for update')
    const second = await startBroker(t, { ...options, databaseUrl })
    await until(() => second.log().includes('journaled response not committed yet'), 20_000)
    await lock.release()
    await until(
      async () => (await second.get('/tokens/demo')).body.generation > connectedAs,
      20_000,
    )
    const { body } = await second.get('/accounts/demo')
    t.match(body, { status: 'active', last_error: null })
    t.notOk(second.log().includes('account must be authorized again'))
    t.equal(sandbox.world.books.totals.presentedAgain, 0)
  },
)
