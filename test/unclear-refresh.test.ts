import pg from 'pg'
import t from 'tap'
import { connectAccount, startBroker, startSandbox, until } from './support/broker.ts'
import { createDatabase, query } from './support/database.ts'
import { freePorts } from './support/ports.ts'
import { startProxy } from './support/proxy.ts'
import { afterAttempt, presentedOnce, setStage } from './support/stage.ts'

/** An unclear send is resolved soon after it. */
const FAST = { SEND_LIMIT_MS: '500', SETTLE_MS: '100' }

t.test('ambiguous and unspent: probed after the settle time, then sent again', async (t) => {
  for (const fault of ['drop_before_spend', 'bad_gateway_before_spend', 'silent'] as const) {
    const stage = await setStage(t, { env: FAST })
    stage.sandbox.world.faults.set([{ fault, endpoint: 'token', times: 1 }])
    await stage.makeDue()
    const row = await afterAttempt(stage, 1)
    t.match(row, { status: 'active', lastErrorCode: null }, fault)
    t.ok(Number(row.generation) > 1, fault)
    t.match(await stage.attempts(), [{ outcome: 'committed', sendCount: 2 }], fault)
    presentedOnce(t, stage)
  }
})

t.test(
  'ambiguous and spent: the pair is lost; condemned only after the probe says dead',
  async (t) => {
    const stage = await setStage(t, { env: FAST })
    stage.sandbox.world.faults.set([
      { fault: 'bad_gateway_after_spend', endpoint: 'token', times: 1 },
    ])
    await stage.makeDue()
    await until(async () => (await stage.row()).status === 'reauth_required', 40_000)
    t.match(await stage.row(), { lastErrorCode: 'pair_lost' })
    t.match(await stage.attempts(), [{ outcome: 'lost', sendCount: 1 }])
    presentedOnce(t, stage)
  },
)

t.test('an answer later than the limit is read on and committed', async (t) => {
  const stage = await setStage(t, { env: { ...FAST, SETTLE_MS: '60000' } })
  stage.sandbox.world.faults.set([
    { fault: 'delay_after_spend', delay_ms: 7_000, times: 1, endpoint: 'token' },
  ])
  await stage.makeDue()
  const row = await afterAttempt(stage, 1)
  t.ok(Number(row.generation) > 1)
  t.match(await stage.attempts(), [{ outcome: 'committed', sendCount: 1 }])
  await until(() => stage.broker.log().includes('refresh not answered in time'))
  presentedOnce(t, stage)
})

t.test(
  're-onboarded in the middle of a refresh: the newer pair stays, the late one is parked',
  async (t) => {
    const stage = await setStage(t)
    stage.sandbox.world.faults.set([
      { fault: 'delay_after_spend', delay_ms: 1_500, times: 1, endpoint: 'token' },
    ])
    await stage.makeDue()
    await until(() => stage.sandbox.world.books.totals.tokenCalls === 2)
    await connectAccount(stage.broker)
    const onboarded = await stage.row()
    await until(async () => (await stage.attempts()).filter(({ parked }) => parked).length === 2)
    t.equal((await stage.row()).generation, onboarded.generation)
    t.match(
      await stage.attempts(),
      [
        { outcome: 'superseded', sendCount: 1 },
        { outcome: 'superseded', sendCount: 0 },
      ],
      'the late pair, and the one that the consent replaced',
    )
    const { body } = await stage.broker.get('/tokens/demo')
    t.equal(stage.sandbox.world.grants.findAccess(body.access_token)?.state, 'live')
  },
)

t.test('SIGTERM waits for the answer that is on its way', async (t) => {
  const stage = await setStage(t)
  stage.sandbox.world.faults.set([
    { fault: 'delay_after_spend', delay_ms: 1_500, times: 1, endpoint: 'token' },
  ])
  await stage.makeDue()
  await until(() => stage.sandbox.world.books.totals.tokenCalls === 2)
  t.equal(await stage.broker.stop('SIGTERM'), 0)
  t.match(await stage.attempts(), [{ outcome: 'committed' }])
})

t.test('SIGTERM: a connection that is kept alive does not keep the process', async (t) => {
  const stage = await setStage(t)
  stage.sandbox.world.faults.set([
    { fault: 'delay_after_spend', delay_ms: 1_200, times: 1, endpoint: 'token' },
  ])
  await query(
    stage.databaseUrl,
    `update amo_tokens set "refreshAt" = now() - interval '1 hour', "nextAttemptAt" = now() + interval '1 hour'`,
  )
  // fetch keeps its connections alive for longer than the process may take to end.
  const reading = stage.broker.get('/tokens/demo')
  await until(() => stage.sandbox.world.books.totals.tokenCalls === 2)
  const startedMs = performance.now()
  const stopped = stage.broker.stop('SIGTERM')
  t.equal((await reading).status, 200, 'who waits gets the new token')
  t.equal(await stopped, 0)
  t.ok(performance.now() - startedMs < 20_000, `ended after ${performance.now() - startedMs} ms`)
})

t.test(
  'ambiguous, then the account is renamed: sent again where the probe says it is',
  async (t) => {
    const stage = await setStage(t, { env: FAST })
    const { world } = stage.sandbox
    const account = world.directory.findAccount('demo', 'amocrm')
    if (account === undefined) throw new Error('no account')
    world.faults.set([{ fault: 'bad_gateway_before_spend', endpoint: 'token', times: 1 }])
    await stage.makeDue()
    await until(() => world.books.totals.tokenCalls === 2)
    world.directory.rename(account, 'renamed', '404')
    const row = await afterAttempt(stage, 1)
    t.match(row, { status: 'active', domain: 'renamed.amocrm.ru', lastErrorCode: null })
    t.match(await stage.attempts(), [{ outcome: 'committed', sendCount: 2 }])
    presentedOnce(t, stage)
  },
)

t.test(
  'a kept answer that cannot be committed at the start: nobody is condemned over it',
  async (t) => {
    const databaseUrl = await createDatabase(t)
    const [internal = 0, open = 0] = await freePorts(2)
    const sandbox = await startSandbox(t, { publicPort: open })
    const proxy = await startProxy(t, databaseUrl)
    const ports: [number, number] = [internal, open]
    const options = { sandbox, ports, dataDir: t.testdir(), deploymentId: 'kept', env: FAST }
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

    // Somebody holds the row for longer than any statement of the broker waits.
    const holder = new pg.Client({ connectionString: databaseUrl })
    await holder.connect()
    t.teardown(() => holder.end())
    await holder.query('begin')
    await holder.query('select from amo_tokens for update')
    const second = await startBroker(t, { ...options, databaseUrl })
    await until(() => second.log().includes('kept answer not committed yet'), 20_000)
    await holder.query('commit')
    await until(async () => (await second.get('/tokens/demo')).body.generation > 1, 20_000)
    const { body } = await second.get('/accounts/demo')
    t.match(body, { status: 'active', last_error: null })
    t.notOk(second.log().includes('account must be authorized again'))
    t.equal(sandbox.world.books.totals.presentedAgain, 0)
  },
)
