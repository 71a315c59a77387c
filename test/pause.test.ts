import t from 'tap'
import { connectAccount, startBroker, type TestBroker, until } from './support/broker.ts'
import {
  afterAttempt,
  type BrokerWithSandbox,
  startBrokerWithSandbox,
} from './support/broker-with-sandbox.ts'
import { query } from './support/database.ts'
import { underLoad } from './support/under-load.ts'
import { nothingHappensFor } from './support/waits.ts'

const FAST = { SEND_LIMIT_MS: String(underLoad(500)), SETTLE_MS: '100', READ_WAIT_MS: '200' }

/** Makes the account due, and ends the promise of its token for every reader. */
const runOut = ({ databaseUrl }: BrokerWithSandbox) =>
  query(databaseUrl, `update amo_tokens set "refreshAt" = now(), "nextAttemptAt" = now()`)

type Answer = Awaited<ReturnType<TestBroker['get']>>

/** Reads the token until the broker has heard of a change of its row, a moment after the commit. */
async function readWhen(broker: TestBroker, isHeard: (answer: Answer) => boolean): Promise<Answer> {
  let answer = await broker.get('/tokens/demo')
  await until(async () => {
    if (isHeard(answer)) return true
    answer = await broker.get('/tokens/demo')
    return isHeard(answer)
  })
  return answer
}

const isPastPromise = ({ body }: Answer) => body.use_for === 0
const isRefused = ({ status }: Answer) => status !== 200

/** The scheduler looks for due accounts several times during this wait. */
const aWhile = () => nothingHappensFor(2_000)

const sends = ({ sandbox }: BrokerWithSandbox) => sandbox.world.books.totals.tokenCalls

t.test(
  'POST /accounts/:account/pause and /resume: existing tokens are served, none is rotated',
  async (t) => {
    const stage = await startBrokerWithSandbox(t, { env: FAST })
    const { broker } = stage
    const before = sends(stage)
    t.match(await broker.post('/accounts/demo/pause', undefined), {
      status: 200,
      body: { paused: true },
    })
    await runOut(stage)
    const { status, body } = await readWhen(broker, isPastPromise)
    t.match({ status, body }, { status: 200, body: { use_for: 0, generation: stage.connectedAs } })
    await aWhile()
    t.equal(sends(stage), before, 'nothing was sent')

    await query(stage.databaseUrl, `update amo_tokens set "expiresAt" = now()`)
    const over = await readWhen(broker, isRefused)
    t.match(over, { status: 503, body: { code: 'provider_unavailable', detail: /paused/ } })
    t.ok(Number(over.headers.get('retry-after')) > 1)

    t.match(await broker.post('/accounts/demo/resume', undefined), {
      status: 200,
      body: { paused: false },
    })
    await until(async () => (await broker.get('/tokens/demo')).body.generation > stage.connectedAs)
    t.match(await broker.post('/accounts/nobody/pause', undefined), { status: 404 })
  },
)

t.test('POST /integrations/:integration/pause and /resume, and of all integrations', async (t) => {
  const stage = await startBrokerWithSandbox(t, { env: FAST })
  const { broker } = stage
  for (const path of ['/integrations/amocrm', '/integrations']) {
    const before = sends(stage)
    const generation = (await stage.row()).generation as number
    t.equal((await broker.post(`${path}/pause`, undefined)).status, 200)
    await runOut(stage)
    t.match(await broker.get('/integrations'), {
      status: 200,
      body: {
        integrations: [{ name: 'amocrm', state: 'paused', state_reason: 'paused by operator' }],
      },
    })
    t.equal((await readWhen(broker, isPastPromise)).status, 200)
    const { body } = await broker.get('/health/ready')
    t.match(body.degraded.join(), /integration amocrm: paused/)
    await aWhile()
    t.equal(sends(stage), before, 'nothing was sent')
    t.equal((await broker.post(`${path}/resume`, undefined)).status, 200)
    await until(async () => ((await stage.row()).generation as number) > generation)
  }
  t.match(await broker.post('/integrations/nothing/pause', undefined), {
    status: 404,
    body: { code: 'integration_not_found' },
  })
})

t.test('POST /integrations/resume: a halted integration is resumed only by its name', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t)
  await query(
    databaseUrl,
    `update amo_integrations set state = 'halted', "stateReason" = 'too many', "condemnedAt" = array[now(), now(), now()]`,
  )
  await until(() => broker.log().includes('"msg":"integration halted"'))
  const halted = { state: 'halted', state_reason: 'too many' }
  t.match((await broker.post('/integrations/resume', undefined)).body, { integrations: [halted] })
  t.match((await broker.post('/integrations/amocrm/pause', undefined)).body, halted)
  const { body } = await broker.post('/integrations/amocrm/resume', undefined)
  t.match(body, { state: 'running', state_reason: null })
  const [row] = await query(databaseUrl, 'select "condemnedAt" from amo_integrations')
  t.same(row, { condemnedAt: [] }, 'a new count begins')
})

t.test('GET /integrations 200: last error with remedy, open breaker, and no secret', async (t) => {
  const { broker, sandbox, databaseUrl, ...stage } = await startBrokerWithSandbox(t, {
    env: FAST,
  })
  sandbox.world.faults.set([{ fault: 'wrong_secret', endpoint: 'token' }])
  await stage.makeDue()
  await afterAttempt({ broker, sandbox, databaseUrl, ...stage }, 1)
  await query(
    databaseUrl,
    `insert into amo_breakers (key) values ('integration amocrm') on conflict do nothing`,
  )
  await query(
    databaseUrl,
    `update amo_breakers set "openUntil" = now() + interval '90 seconds', "openedAt" = now(), reason = 'client_rejected'
     where key = 'integration amocrm'`,
  )
  await until(
    async () => (await broker.get('/integrations')).body.integrations[0].breakers.length > 0,
  )
  const { body } = await broker.get('/integrations')
  t.match(body.integrations[0], {
    name: 'amocrm',
    provider: 'amocrm',
    sandbox_origin: sandbox.origin,
    state: 'running',
    last_error: { code: 'client_rejected', remedy: /AMO_CLIENT_SECRET/ },
    breakers: [{ key: 'integration amocrm', reason: 'client_rejected' }],
    pace_per_second: 100,
  })
  t.notMatch(JSON.stringify(body), /canary-client-secret|amo_op_/)

  t.comment('readers behind it get the old token while it lives, then the breaker’s Retry-After')
  t.match(await broker.get('/tokens/demo'), {
    status: 200,
    body: { use_for: 0, warning: 'provider_unavailable' },
  })
  await query(databaseUrl, `update amo_tokens set "expiresAt" = now()`)
  const over = await readWhen(broker, isRefused)
  t.match(over, { status: 503, body: { code: 'provider_unavailable' } })
  const retryAfter = Number(over.headers.get('retry-after'))
  t.ok(retryAfter > 60 && retryAfter <= 90, `${retryAfter} s`)

  t.comment('resumed by an operator who has put it right: the canary goes at once')
  sandbox.world.faults.clear()
  await stage.makeDue()
  await broker.post('/integrations/amocrm/resume', undefined)
  await until(async () => ((await stage.row()).generation as number) > stage.connectedAs)
  await until(
    async () => (await broker.get('/integrations')).body.integrations[0].breakers.length === 0,
  )
})

t.test('--hold: serves existing tokens, sends nothing, and reports it as degraded', async (t) => {
  const stage = await startBrokerWithSandbox(t, { env: FAST })
  const { databaseUrl, sandbox } = stage
  await stage.broker.stop()
  const before = sends(stage)
  const held = await startBroker(t, { databaseUrl, sandbox, args: ['--hold'], env: FAST })
  const { body } = await held.get('/health/ready')
  t.match(body, { status: 'degraded' })
  t.match(body.degraded.join(), /hold: .* sends nothing/)
  await runOut(stage)
  const served = { use_for: 0, generation: stage.connectedAs }
  t.match(await readWhen(held, isPastPromise), { status: 200, body: served })
  await query(
    databaseUrl,
    `insert into amo_refresh_attempts (integration, "accountId", generation, "refreshTokenFingerprint", owner, "leaseUntil", "sendCount")
     select integration, "accountId", generation, "refreshTokenFingerprint", 'gone', now() - interval '1 hour', 1
     from amo_tokens`,
  )
  await aWhile()
  t.equal(sends(stage), before, 'nothing was sent')
  t.equal(sandbox.world.books.totals.probes, 1, 'nor was the claim that ran out taken over')
  t.match(await stage.attempts(), [{ outcome: null }])
  t.equal(await held.stop(), 0)
})

t.test('HOLD_SENDS: a code waits in the inbox until a broker without it starts', async (t) => {
  const stage = await startBrokerWithSandbox(t, { connect: false, env: { HOLD_SENDS: 'true' } })
  const { broker, sandbox, databaseUrl } = stage
  await t.rejects(connectAccount(broker))
  t.equal(sends(stage), 0)
  t.match(await query(databaseUrl, 'select "presentedAt", outcome from amo_inbox'), [
    { presentedAt: null, outcome: null },
  ])
  await broker.stop()
  const next = await startBroker(t, { databaseUrl, sandbox, env: redirectOf(broker.publicUrl) })
  await until(async () => (await next.get('/tokens/demo')).status === 200, 20_000)
})

function redirectOf(publicUrl: string): Record<string, string> {
  return { AMO_REDIRECT_URI: `${publicUrl}/api/v1/integrations/amo-crm/callback` }
}
