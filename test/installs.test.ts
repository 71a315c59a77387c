import t, { type Test } from 'tap'
import { ONBOARDING_STEPS } from '../src/lib/failpoint.ts'
import { installUrl } from '../src/sandbox/callback-urls.ts'
import { sendInstall } from '../src/sandbox/server-calls.ts'
import {
  type BrokerOptions,
  CLIENT_ID,
  startBroker,
  startSandbox,
  type TestSandbox,
  until,
} from './support/broker.ts'
import { assertPresentedOnce, startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { ask, fromManyAddresses } from './support/clients.ts'
import { makeDataDir } from './support/data-dir.ts'
import { createDatabase, query } from './support/database.ts'
import { freePorts } from './support/ports.ts'
import { startProxy } from './support/proxy.ts'
import { underLoad } from './support/under-load.ts'

const PATH = '/api/v1/integrations/amo-crm/callback'

function grantee({ world }: TestSandbox, subdomain = 'demo') {
  const known = world.directory.findAccount(subdomain, 'amocrm')
  const account = known ?? world.addAccount({ platform: 'amocrm', subdomain })
  const integration = world.directory.integrations.get(CLIENT_ID)
  if (integration === undefined) throw new Error('no integration')
  return { account, integration }
}

/** Installs the integration inside the CRM: the call of the provider's server. */
function install(sandbox: TestSandbox, subdomain = 'demo') {
  const { account, integration } = grantee(sandbox, subdomain)
  return sendInstall(sandbox.world, integration, account)
}

const acceptInstalls = (databaseUrl: string) =>
  query(databaseUrl, `update amo_integrations set "acceptsInstalls" = true`)

const inboxOf = (databaseUrl: string) =>
  query(databaseUrl, `select origin, outcome, domain, pair from amo_inbox order by "receivedAt"`)

/** Creates a sandbox, a database, and the settings that consecutive brokers share. */
async function setTheatre(t: Test) {
  const databaseUrl = await createDatabase(t)
  const [internal = 0, open = 0] = await freePorts(2)
  const sandbox = await startSandbox(t, { publicPort: open })
  const dataDir = makeDataDir(t)
  const ports: [number, number] = [internal, open]
  const options: BrokerOptions = { databaseUrl, sandbox, dataDir, ports, ownProcess: true }
  return { databaseUrl, sandbox, options, publicUrl: `http://127.0.0.1:${open}` }
}

t.test('an installation inside the CRM', async (t) => {
  const stage = await startBrokerWithSandbox(t, { connect: false })
  const { broker, sandbox, databaseUrl } = stage

  await t.test('403: refused unless the integration accepts installations', async (t) => {
    t.equal((await install(sandbox)).status, 400)
    const { account, integration } = grantee(sandbox)
    const code = sandbox.world.grants.issueCode(account, integration)
    t.match(await (await fetch(installUrl(integration, account, code))).text(), /accepts_installs/)
    t.same(await inboxOf(databaseUrl), [])
  })

  await acceptInstalls(databaseUrl)
  await until(async () => (await broker.get('/integrations/amocrm')).body.accepts_installs)

  await t.test('pending: kept alive, and served to no client', async (t) => {
    const call = await install(sandbox)
    t.equal(call.status, 200)
    await until(async () => (await stage.row()).status === 'pending')
    t.match(await broker.get('/tokens/demo'), { status: 409, body: { code: 'pending' } })
    t.match((await broker.get('/onboardings')).body.onboardings, [
      { origin: 'install', outcome: 'pending', remedy: /approve/ },
    ])
    t.match(await broker.post('/accounts/demo/check', undefined), { body: { ok: true } })
    await stage.makeDue()
    await until(() => sandbox.world.books.totals.refreshes === 1)
    t.match(await broker.get('/tokens/demo'), { status: 409 })
  })

  await t.test(
    'POST /accounts/:account/approve 200: its token is served from then on',
    async (t) => {
      t.match(await broker.post('/accounts/demo/approve', undefined), {
        status: 200,
        body: { status: 'active' },
      })
      await until(async () => (await broker.get('/tokens/demo')).status === 200)
    },
  )

  await t.test('installed again in an approved account: active at once', async (t) => {
    const { generation } = await stage.row()
    t.equal((await install(sandbox)).status, 200)
    await until(async () => Number((await stage.row()).generation) > Number(generation))
    t.equal((await stage.row()).status, 'active')
  })

  await t.test('replayed: the code is presented once', async (t) => {
    const { account, integration } = grantee(sandbox, 'replayed')
    const code = sandbox.world.grants.issueCode(account, integration)
    const url = installUrl(integration, account, code)
    const answers = await Promise.all([fetch(url), fetch(url), fetch(url)])
    t.same(
      answers.map(({ status }) => status),
      [200, 200, 200],
    )
    await until(async () => (await inboxOf(databaseUrl)).every(({ outcome }) => outcome !== null))
    t.equal((await fetch(url)).status, 200)
    t.equal(sandbox.world.books.totals.reusedCodes, 0)
    t.equal((await inboxOf(databaseUrl)).length, 3)
  })

  await t.test('a link’s callback that lost its state: pending, the link is unused', async (t) => {
    const link = (await broker.post('/connect-links', { integration: 'amocrm' })).body.url
    const { account, integration } = grantee(sandbox, 'dropped')
    const code = sandbox.world.grants.issueCode(account, integration)
    const url = `${broker.publicUrl}${PATH}?code=${code}&state=state&referer=dropped.amocrm.ru`
    await fetch(url, { redirect: 'manual' })
    await until(async () => (await inboxOf(databaseUrl)).at(-1)?.outcome === 'pending')
    t.match(await broker.get('/tokens/dropped'), { status: 409, body: { code: 'pending' } })
    t.equal((await fetch(link, { redirect: 'manual' })).status, 302)
  })

  await t.test('malformed: refused, nothing is stored', async (t) => {
    const { account, integration } = grantee(sandbox)
    const code = sandbox.world.grants.issueCode(account, integration)
    const good = new URL(installUrl(integration, account, code))
    const { length } = await inboxOf(databaseUrl)
    for (const [name, value, problem] of [
      ['client_id', '22222222-2222-4222-8222-222222222222', 'foreign_client'],
      ['referer', 'demo.kommo.com', 'foreign_referer'],
      ['referer', 'evil.example', 'foreign_referer'],
      ['referer', 'www.amocrm.ru', 'foreign_referer'],
      ['platform', '2', 'foreign_platform'],
      ['code', 'short', 'malformed_code'],
      ['code', `def502 ${'x'.repeat(100)}`, 'malformed_code'],
    ] as const) {
      const url = new URL(good)
      url.searchParams.set(name, value)
      const answer = await fetch(url)
      t.equal(answer.status, 400, `${name} ${value}`)
      t.match(await answer.text(), new RegExp(`<small>${problem}</small>`))
    }
    t.equal((await inboxOf(databaseUrl)).length, length)
    t.equal(sandbox.world.books.totals.reusedCodes, 0)
  })
  assertPresentedOnce(t, stage)
})

t.test('PostgreSQL hangs: the callback is on disk, and survives kill -9', async (t) => {
  const { databaseUrl, sandbox, options } = await setTheatre(t)
  const proxy = await startProxy(t, databaseUrl)
  const deploymentId = new URL(databaseUrl).pathname.slice(1)
  const behindProxy = { ...options, databaseUrl: proxy.url, deploymentId }
  const first = await startBroker(t, behindProxy)
  await acceptInstalls(databaseUrl)
  await until(async () => (await first.get('/integrations/amocrm')).body.accepts_installs)
  proxy.set('hang')
  t.equal((await install(sandbox)).status, 200, 'answered within the provider’s three seconds')
  t.equal((await install(sandbox, 'second')).status, 200)
  await first.stop('SIGKILL')
  t.same(await inboxOf(databaseUrl), [], 'the database knew nothing')
  proxy.set('refuse')
  const second = await startBroker(t, {
    ...behindProxy,
    isReady: (log) => log.includes('PostgreSQL does not answer yet'),
  })
  t.equal((await install(sandbox, 'third')).status, 200, 'also while the broker starts')
  proxy.set('pass')
  await until(async () => (await query(databaseUrl, 'select from amo_tokens')).length === 3, 30_000)
  t.same(
    (await inboxOf(databaseUrl)).map(({ outcome }) => outcome),
    ['pending', 'pending', 'pending'],
  )
  t.match(second.log(), /spooled callback stored/)
  t.equal(sandbox.world.books.totals.codeExchanges, 3)
  t.equal(sandbox.world.books.totals.reusedCodes, 0)
})

t.test('kill -9 at every step: the next start continues', { timeout: 200_000 }, async (t) => {
  const { databaseUrl, sandbox, options } = await setTheatre(t)
  const first = await startBroker(t, { ...options, ownProcess: false })
  await acceptInstalls(databaseUrl)
  await first.stop()
  /** The code was sent or is being sent. It may be spent, so it is not presented again. */
  const isUnknown = (step: string) => step === 'code_presented' || step === 'code_response_read'
  for (const step of ONBOARDING_STEPS.filter((each) => each !== 'callback_spooled')) {
    await t.test(step, async (t) => {
      const subdomain = `killed-${step.replaceAll('_', '-')}`
      const killed = await startBroker(t, {
        ...options,
        env: { NODE_OPTIONS: '--import=./test/support/kill-at.ts', KILL_AT: step },
      })
      await install(sandbox, subdomain)
      await until(() => killed.process.signalCode === 'SIGKILL', 20_000)
      await query(databaseUrl, `update amo_inbox set "leaseUntil" = now() where owner is not null`)
      const next = await startBroker(t, { ...options, ownProcess: false })
      const row = async () => (await inboxOf(databaseUrl)).at(-1)
      await until(async () => typeof (await row())?.outcome === 'string', 30_000)
      const accounts = (await next.get('/accounts')).body.accounts as { domain: string }[]
      const isIn = accounts.some(({ domain }) => domain === `${subdomain}.amocrm.ru`)
      t.match(await row(), { outcome: isUnknown(step) ? 'interrupted' : 'pending' })
      t.equal(isIn, !isUnknown(step))
      await next.stop()
    })
  }
  t.equal(sandbox.world.books.totals.reusedCodes, 0, 'no code was presented twice')
})

t.test('a flood of invalid codes during refreshes', async (t) => {
  const stage = await startBrokerWithSandbox(t, { env: { PACE_PER_SECOND: '2' } })
  const { broker, sandbox, databaseUrl } = stage
  await acceptInstalls(databaseUrl)
  await until(async () => (await broker.get('/integrations/amocrm')).body.accepts_installs)
  const asker = fromManyAddresses(t, 12)
  const junk = (index: number, referer = 'demo.amocrm.ru') =>
    `${PATH}?${new URLSearchParams({
      code: `def502${String(index).padStart(200, '0')}`,
      referer,
      client_id: CLIENT_ID,
      platform: '1',
      from_widget: '1',
    })}`
  for (let index = 0; index < 120; index += 1) {
    const { status } = await asker(broker.publicUrl, 'GET', junk(index))
    t.equal(status, 200)
  }
  const waiting = async () =>
    (await inboxOf(databaseUrl)).filter(({ origin, outcome }) => origin === 'install' && !outcome)
      .length
  for (let refresh = 1; refresh <= 3; refresh += 1) {
    const { generation } = await stage.row()
    const before = await waiting()
    const beganMs = performance.now()
    await stage.makeDue()
    await until(async () => Number((await stage.row()).generation) > Number(generation))
    t.ok(performance.now() - beganMs < underLoad(5_000), 'the refresh was not held up')
    t.ok(before > 0, 'while junk was waiting')
  }
  const { totals } = sandbox.world.books
  t.ok(totals.tokenCalls < 60, `${totals.tokenCalls} calls: the lane is slow`)
  t.match((await broker.get('/integrations/amocrm')).body, { last_error: null, breakers: [] })
  t.match((await broker.get('/health/ready')).body, { status: 'ok' })

  await t.test('limits per address and on the size of the inbox', async (t) => {
    const statuses = new Set<number>()
    for (let index = 0; index < 80; index += 1) {
      statuses.add((await ask(broker.publicUrl, 'GET', junk(10_000 + index))).status)
    }
    t.ok(statuses.has(429))
    await query(
      databaseUrl,
      `insert into amo_inbox (kind, origin, integration, fingerprint, secret, referer)
       select 'callback', 'install', 'amocrm', 'junk ' || n, 'x', 'demo.amocrm.ru'
       from generate_series(1, 500) n`,
    )
    const full = await asker(broker.publicUrl, 'GET', junk(20_000))
    t.equal(full.status, 400)
    t.match(full.body, /too_many_installs/)
    t.equal((await broker.get('/tokens/demo')).status, 200)
  })

  await t.test('a host that responds 401 changes no client secret', async (t) => {
    await query(databaseUrl, `delete from amo_inbox where origin = 'install'`)
    sandbox.world.faults.set([{ fault: 'unauthorized_without_hint', endpoint: 'token', times: 1 }])
    t.equal((await asker(broker.publicUrl, 'GET', junk(30_000))).status, 200)
    await until(async () => (await inboxOf(databaseUrl)).at(-1)?.outcome === 'client_rejected')
    t.match((await broker.get('/integrations/amocrm')).body, { last_error: null })
  })
})

t.test('POST /accounts/exchange-api-key: the code arrives at the callback', async (t) => {
  const stage = await startBrokerWithSandbox(t, { connect: false })
  const { broker, sandbox, databaseUrl } = stage
  const { account, integration } = grantee(sandbox)
  const order = {
    integration: 'amocrm',
    domain: 'demo',
    login: 'admin@example.com',
    api_key: 'sandbox-api-key',
  }
  const begin = (change = {}) => broker.post('/accounts/exchange-api-key', { ...order, ...change })

  await t.test('422: a refusal of the provider, with its remedy', async (t) => {
    t.match(await begin(), {
      status: 422,
      body: { code: 'exchange_refused', outcome: 'api_key_no_rights', remedy: /Install/ },
    })
    integration.installedIn.add(account.key)
    for (const [change, outcome, remedy] of [
      [{ api_key: 'canary-wrong-api-key' }, 'api_key_rejected', /own API key/],
      [{ login: 'nobody@example.com' }, 'api_key_rejected', /e-mail/],
      [{ login: 'user@example.com' }, 'api_key_no_rights', /administrator/],
      [{ domain: 'nobody' }, 'api_key_no_account', /domain/],
    ] as const) {
      t.match(await begin(change), { status: 422, body: { outcome, remedy } })
    }
    t.equal((await begin({ domain: 'evil.example' })).status, 400)
    t.equal((await begin({ integration: 'none' })).status, 404)
  })

  await t.test('202, then connected: a requested account is active', async (t) => {
    const { status, body } = await begin()
    t.equal(status, 202)
    t.match(body, { domain: 'demo.amocrm.ru' })
    const read = async () => (await broker.get(`/accounts/exchanges/${body.id}`)).body
    await until(async () => (await read()).outcome !== null)
    t.match(await read(), { outcome: 'connected', account_id: account.accountId })
    t.equal((await broker.get('/tokens/demo')).status, 200)
  })

  await t.test('429: once in five minutes, without a call to the provider', async (t) => {
    for (const change of [{}, { login: 'ADMIN@example.com' }, { domain: 'demo.amocrm.ru' }]) {
      const answer = await begin(change)
      t.match(answer, { status: 429, body: { code: 'exchange_too_soon' } })
      t.ok(Number(answer.headers.get('retry-after')) > 200)
    }
    await query(
      databaseUrl,
      `update amo_exchanges set "createdAt" = "createdAt" - interval '6 minutes'`,
    )
    t.match(await begin(), { status: 429 }, 'and the provider’s own word is handed on')
  })

  await t.test('a code that never arrives, a forged state', async (t) => {
    const [late] = await query<{ id: string }>(
      databaseUrl,
      `insert into amo_exchanges (integration, domain, "userHash", "createdBy", "createdAt")
       values ('amocrm', 'demo.amocrm.ru', 'x', 'operator', now() - interval '21 minutes') returning id`,
    )
    t.match((await broker.get(`/accounts/exchanges/${late?.id}`)).body, {
      outcome: 'no_callback',
      remedy: /reachable/,
    })
    const code = sandbox.world.grants.issueCode(account, integration)
    const path = `${PATH}?code=${code}&referer=demo.amocrm.ru&from_exchange=1`
    for (const state of [`&state=exchange.${late?.id}.x`, '&state=exchange.x.y', '']) {
      const { status } = await ask(broker.publicUrl, 'GET', path + state)
      t.equal(status, 400)
    }
    t.equal((await inboxOf(databaseUrl)).length, 1)
  })

  const kept = JSON.stringify(await query(databaseUrl, 'select t::text from amo_exchanges t'))
  t.notMatch(kept + broker.log(), /sandbox-api-key|canary-wrong-api-key|admin@example/i)
})
