import t from 'tap'
import { connectAccount, until } from './support/broker.ts'
import {
  afterAttempt,
  assertPresentedOnce,
  startBrokerWithSandbox,
} from './support/broker-with-sandbox.ts'
import { query } from './support/database.ts'
import { scrape } from './support/scrape.ts'
import { underLoad } from './support/under-load.ts'

/** An unclear send is resolved soon. */
const FAST = { SEND_LIMIT_MS: String(underLoad(500)), SETTLE_MS: '100' }

t.test('ambiguous and unspent: probed after the settle time, then sent again', async (t) => {
  for (const fault of ['drop_before_spend', 'bad_gateway_before_spend', 'silent'] as const) {
    const stage = await startBrokerWithSandbox(t, { env: FAST })
    stage.sandbox.world.faults.set([{ fault, endpoint: 'token', times: 1 }])
    await stage.makeDue()
    const row = await afterAttempt(stage, 1)
    t.match(row, { status: 'active', lastErrorCode: null }, fault)
    t.ok(Number(row.generation) > stage.connectedAs, fault)
    t.match(await stage.attempts(), [{ outcome: 'committed', sendCount: 2 }], fault)
    assertPresentedOnce(t, stage)
  }
})

t.test('401 without a hint and a probe without a result: probed again before a send', async (t) => {
  const stage = await startBrokerWithSandbox(t, { env: FAST })
  stage.sandbox.world.faults.set([
    { fault: 'unauthorized_without_hint', endpoint: 'token', times: 1 },
    { fault: 'bad_gateway_before_spend', endpoint: 'probe', times: 1 },
  ])
  await stage.makeDue()
  const row = await afterAttempt(stage, 1)
  t.match(row, { status: 'active', lastErrorCode: null })
  t.ok(Number(row.generation) > stage.connectedAs)
  t.match(await stage.attempts(), [{ outcome: 'committed', sendCount: 2 }])
  assertPresentedOnce(t, stage)
})

t.test(
  'ambiguous and spent: reauth_required only after a probe reports the token dead',
  async (t) => {
    const stage = await startBrokerWithSandbox(t, { env: FAST })
    stage.sandbox.world.faults.set([
      { fault: 'bad_gateway_after_spend', endpoint: 'token', times: 1 },
    ])
    await stage.makeDue()
    await until(async () => (await stage.row()).status === 'reauth_required', 40_000)
    t.match(await stage.row(), { lastErrorCode: 'pair_lost' })
    t.match(await stage.attempts(), [{ outcome: 'lost', sendCount: 1 }])
    assertPresentedOnce(t, stage)
  },
)

t.test('sent again because a probe lied: refused as spent, and counted as reuse', async (t) => {
  const stage = await startBrokerWithSandbox(t, { env: FAST })
  stage.sandbox.world.faults.set([
    { fault: 'bad_gateway_after_spend', endpoint: 'token', times: 1 },
    { fault: 'probe_lies_alive', endpoint: 'probe', times: 1 },
  ])
  await letAccessTokenExpire(stage)
  await stage.makeDue()
  await until(async () => (await stage.row()).status === 'reauth_required', 40_000)
  t.match(await stage.attempts(), [{ outcome: 'lost', sendCount: 2 }])
  t.equal(stage.sandbox.world.books.totals.reusedRefreshTokens, 1)
  t.equal((await scrape(stage.broker)).value('amo_refresh_token_reuse_suspected_total'), 1)
})

t.test('sent again, and refused as spent though it is alive: not counted as reuse', async (t) => {
  const stage = await startBrokerWithSandbox(t, { env: FAST })
  const { world } = stage.sandbox
  world.faults.set([
    { fault: 'drop_before_spend', endpoint: 'token', times: 1 },
    { fault: 'revoked', endpoint: 'token', times: 1 },
  ])
  await stage.makeDue()
  const row = await afterAttempt(stage, 1)
  t.match(row, { status: 'active', lastErrorCode: null })
  t.match(await stage.attempts(), [{ outcome: 'committed', sendCount: 3 }])
  t.equal(world.books.totals.reusedRefreshTokens, 0)
  t.equal((await scrape(stage.broker)).value('amo_refresh_token_reuse_suspected_total'), 0)
})

t.test('a response after the limit is read and committed', async (t) => {
  const stage = await startBrokerWithSandbox(t, { env: { ...FAST, SETTLE_MS: '60000' } })
  const delayMs = Number(FAST.SEND_LIMIT_MS) + 6_500
  stage.sandbox.world.faults.set([
    { fault: 'delay_after_spend', delay_ms: delayMs, times: 1, endpoint: 'token' },
  ])
  await stage.makeDue()
  const row = await afterAttempt(stage, 1)
  t.ok(Number(row.generation) > stage.connectedAs)
  t.match(await stage.attempts(), [{ outcome: 'committed', sendCount: 1 }])
  await until(() => stage.broker.log().includes('no response to a refresh within the limit'))
  assertPresentedOnce(t, stage)
})

t.test(
  'onboarded again during a refresh: the newer pair stays, the late one is parked',
  async (t) => {
    const stage = await startBrokerWithSandbox(t)
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

t.test('SIGTERM waits for a response in flight', async (t) => {
  const stage = await startBrokerWithSandbox(t, { ownProcess: true })
  stage.sandbox.world.faults.set([
    { fault: 'delay_after_spend', delay_ms: 1_500, times: 1, endpoint: 'token' },
  ])
  await stage.makeDue()
  await until(() => stage.sandbox.world.books.totals.tokenCalls === 2)
  t.equal(await stage.broker.stop('SIGTERM'), 0)
  t.match(await stage.attempts(), [{ outcome: 'committed' }])
})

t.test('SIGTERM: a keep-alive connection does not keep the process alive', async (t) => {
  const stage = await startBrokerWithSandbox(t, { ownProcess: true })
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
  t.ok(
    performance.now() - startedMs < underLoad(20_000),
    `ended after ${performance.now() - startedMs} ms`,
  )
})

t.test('ambiguous, then renamed: sent again to the host that the probe reports', async (t) => {
  const stage = await startBrokerWithSandbox(t, { env: FAST })
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
  assertPresentedOnce(t, stage)
})

/** An access token that has expired says nothing about a refresh, so it is not probed. */
async function letAccessTokenExpire({ databaseUrl }: { databaseUrl: string }): Promise<void> {
  await query(databaseUrl, `update amo_tokens set "expiresAt" = now()`)
}
