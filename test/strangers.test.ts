import { Redis } from 'ioredis'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { openPostgres } from '../src/db/postgres.ts'
import { CallbackPlaces } from '../src/onboarding/callback-places.ts'
import { OnboardingRetention } from '../src/onboarding/retention.ts'
import { explainFailure } from '../src/provider/failures.ts'
import { sendInstall, signDisconnect } from '../src/sandbox/server-calls.ts'
import { Secret } from '../src/vault/secret.ts'
import { CLIENT_ID, CLIENT_SECRET, until } from './support/broker.ts'
import { type BrokerWithSandbox, startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { ask, fromManyAddresses } from './support/clients.ts'
import { createDatabase, query, redisUrl } from './support/database.ts'
import { linkOf, Person } from './support/person.ts'
import { startProxy } from './support/proxy.ts'

const PATH = '/api/v1/integrations/amo-crm/callback'
const NUMBER_OF_CODES = 60

function grantee({ sandbox }: BrokerWithSandbox, subdomain = 'demo') {
  const { world } = sandbox
  const known = world.directory.findAccount(subdomain, 'amocrm')
  const account = known ?? world.addAccount({ platform: 'amocrm', subdomain })
  const integration = world.directory.integrations.get(CLIENT_ID)
  if (integration === undefined) throw new Error('no integration')
  return { account, integration }
}

const madeUp = (index: number) => `def502${String(index).padStart(100, '0')}`

const tokenCalls = ({ sandbox }: BrokerWithSandbox) => sandbox.world.books.totals.tokenCalls

const inboxOf = ({ databaseUrl }: BrokerWithSandbox) =>
  query(databaseUrl, 'select origin, outcome from amo_inbox order by "receivedAt"')

/** Waits until no code is waiting. */
const settled = (stage: BrokerWithSandbox) =>
  until(async () => (await inboxOf(stage)).every(({ outcome }) => outcome !== null), 30_000)

async function staysHealthy(t: Test, { broker }: BrokerWithSandbox) {
  const forced = await broker.post('/tokens/demo/refresh', { force: true })
  t.equal(forced.status, 200, `a forced refresh: ${JSON.stringify(forced.body)}`)
  t.match((await broker.get('/integrations/amocrm')).body, { last_error: null, breakers: [] })
  t.match((await broker.get('/health/ready')).body, { status: 'ok', degraded: [] })
}

t.test('60 made-up codes, with the limits of the provider', async (t) => {
  const stage = await startBrokerWithSandbox(t, {
    sandbox: { limits: {} },
    env: { PACE_PER_SECOND: '2', HEARTBEAT_MS: '500' },
  })
  const { broker, sandbox } = stage

  await t.test('on a connect link: three cost a call, an honest code is exchanged', async (t) => {
    const link = await linkOf(broker)
    const attacker = new Person()
    const honest = new Person()
    const callback = await attacker.decide(link, 'allow', 'demo')
    const before = tokenCalls(stage)
    const pages = await Promise.all(
      Array.from({ length: NUMBER_OF_CODES }, async (_, index) => {
        const forged = new URL(callback)
        forged.searchParams.set('code', madeUp(index))
        return attacker.finish(forged)
      }),
    )
    sandbox.world.addAccount({ platform: 'amocrm', subdomain: 'honest' })
    const page = await honest.finish(await honest.decide(link, 'allow', 'honest'))
    await settled(stage)
    await staysHealthy(t, stage)
    const explained = pages.filter(({ text }) => text.includes('<small>too_many_codes</small>'))
    t.equal(explained.length, NUMBER_OF_CODES - 3)
    t.match(explained[0]?.text, /Wait 20 minutes/)
    t.equal((await inboxOf(stage)).filter(({ outcome }) => outcome === 'code_unreadable').length, 3)
    t.ok(tokenCalls(stage) - before <= 5, `${tokenCalls(stage) - before} calls`)
    await until(async () => (await honest.get(page.url)).text.includes('honest.amocrm.ru is'))
  })

  await t.test('on a link, from many browsers: twenty', async (t) => {
    const link = await linkOf(broker)
    for (let browser = 0; browser < 9; browser += 1) {
      const attacker = new Person()
      const callback = await attacker.decide(link, 'allow', 'demo')
      for (let index = 0; index < 3; index += 1) {
        const forged = new URL(callback)
        forged.searchParams.set('code', madeUp(1_000 + browser * 10 + index))
        await attacker.get(String(forged))
      }
    }
    await settled(stage)
    const refused = await query(
      stage.databaseUrl,
      `select from amo_inbox where outcome = 'code_unreadable' and "receivedAt" > now() - interval '1 minute'
       and "linkId" = (select id from amo_connect_links order by "createdAt" desc limit 1)`,
    )
    t.equal(refused.length, 20)
    await staysHealthy(t, stage)
  })

  await t.test('with the state of a button, which belongs to no browser', async (t) => {
    const { body } = await broker.post('/buttons', { integration: 'amocrm' })
    const before = tokenCalls(stage)
    const callback = (code: string, subdomain: string) =>
      `${PATH}?${new URLSearchParams({
        code,
        state: body.state,
        referer: `${subdomain}.amocrm.ru`,
        client_id: CLIENT_ID,
      })}`
    await Promise.all(
      Array.from({ length: NUMBER_OF_CODES }, (_, index) =>
        ask(broker.publicUrl, 'GET', callback(madeUp(3_000 + index), 'demo')),
      ),
    )
    const { account, integration } = grantee(stage, 'pressed')
    const code = sandbox.world.grants.issueCode(account, integration)
    const asker = fromManyAddresses(t, 31)
    const { status, headers } = await asker(broker.publicUrl, 'GET', callback(code, 'pressed'))
    t.equal(status, 303)
    await until(async () => {
      const page = await ask(broker.publicUrl, 'GET', headers.get('location') ?? '')
      return String(page.body).includes('pressed.amocrm.ru is connected')
    })
    t.ok(tokenCalls(stage) - before <= 5)
    await staysHealthy(t, stage)
  })

  await t.test('the shape of a code: printable ASCII of 20 to 8,192 characters', async (t) => {
    const person = new Person()
    const callback = await person.decide(await linkOf(broker), 'deny')
    callback.searchParams.delete('error')
    callback.searchParams.set('referer', 'demo.amocrm.ru')
    for (const code of ['x'.repeat(19), `${'x'.repeat(30)} y`, `${'x'.repeat(30)}é`]) {
      callback.searchParams.set('code', code)
      t.match(await person.finish(callback), { text: /<small>malformed_code</ }, code)
    }
    callback.searchParams.set('code', `!"#$%&'()*+,-./:;<=>?@[\\]^_\`{|}~`)
    t.match(await person.finish(callback), { text: /<small>code_unreadable</ })
  })
})

t.test('a reserved tenth of the pace: a code does not wait behind refreshes', async (t) => {
  const stage = await startBrokerWithSandbox(t, { env: { PACE_PER_SECOND: '0.2' } })
  const { databaseUrl } = stage
  // All other lanes have used up the pace for minutes.
  const used = `update amo_integrations set "paceTokens" = -300, "paceAt" = now(), "codeTokens" = 2, "codeAt" = now()`
  await query(databaseUrl, used)
  const consent = async (subdomain: string) => {
    const person = new Person()
    stage.sandbox.world.addAccount({ platform: 'amocrm', subdomain })
    return person.finish(await person.decide(await linkOf(stage.broker), 'allow', subdomain))
  }
  t.match(await consent('one'), { text: /one\.amocrm\.ru is connected/ })
  t.match(await consent('two'), { text: /two\.amocrm\.ru is connected/ })
  const third = await consent('three')
  t.match(third, { text: /Connecting the account/ }, 'the reserve is used up, and the code waits')
  const [row] = await query(
    databaseUrl,
    'select "paceTokens"::float8 as tokens from amo_integrations',
  )
  t.ok(Number(row?.tokens) <= -300, 'codes are debited to the same bucket')
  await query(databaseUrl, `update amo_integrations set "codeTokens" = 2, "codeAt" = now()`)
  await until(async () => (await stage.broker.get('/accounts/three')).status === 200)
})

t.test('what a stranger can reach', async (t) => {
  const stage = await startBrokerWithSandbox(t, { env: { HEARTBEAT_MS: '500' } })
  const { broker, sandbox, databaseUrl } = stage

  await t.test('a made-up code, or one of another client, is no evidence', async (t) => {
    for (const fault of ['wrong_secret', 'unauthorized_without_hint'] as const) {
      sandbox.world.faults.set([{ fault, endpoint: 'token', times: 1 }])
      const person = new Person()
      const callback = await person.decide(await linkOf(broker), 'allow')
      t.match(await person.finish(callback), { text: /<small>client_rejected</ }, fault)
      t.match((await broker.get('/integrations/amocrm')).body, { last_error: null })
    }
    sandbox.world.faults.clear()
  })

  await t.test('pages of outcomes: only those that the broker led to', async (t) => {
    const url = (path: string) => `${broker.publicUrl}/onboarding/problems/${path}`
    const person = new Person()
    const opener = 'https://console.example'
    const callback = await person.decide(await linkOf(broker, { opener_origin: opener }), 'deny')
    const { location } = await person.get(String(callback))
    const own = new URL(location)
    const shown = await fetch(own)
    t.equal(shown.status, 400)
    t.equal(shown.headers.get('cross-origin-opener-policy'), null, 'it messages its opener')
    t.match(await shown.text(), /data-origin="https:\/\/console\.example"/)
    const [link, mark] = [own.searchParams.get('link'), own.searchParams.get('mark')]
    for (const path of [
      `connected?link=${link}`,
      `connected?link=${link}&mark=${mark}`,
      `access_denied?link=${link}`,
      `access_denied?mark=${mark}`,
      `access_denied?link=${link}&mark=${mark}x`,
      'no_code',
    ]) {
      const answer = await fetch(url(path))
      t.equal(answer.status, 404, path)
      t.notMatch(await answer.text(), /postMessage/)
    }
    const lonely = await person.finish(`${broker.publicUrl}${PATH}`)
    t.equal(lonely.status, 400)
    const headers = (await fetch(lonely.url)).headers
    t.equal(headers.get('cross-origin-opener-policy'), 'same-origin')
  })

  await t.test('400, not 500: a URN for an id, NUL in a text', async (t) => {
    const id = '00000000-0000-4000-8000-000000000000'
    for (const path of [
      `/onboardings/urn:uuid:${id}`,
      `/accounts/exchanges/urn:uuid:${id}`,
      '/accounts?after=%00',
      '/tokens/demo?integration=a%00b',
      '/accounts/demo?integration=%00',
      '/audit?actor=a%00',
    ]) {
      t.equal((await broker.get(path)).status, 400, path)
    }
    const nul = 'a\u0000b'
    for (const [path, body] of [
      ['/buttons', { integration: 'amocrm', name: nul }],
      ['/buttons', { integration: 'amocrm', title: nul, description: nul }],
      ['/connect-links', { integration: nul }],
      ['/integrations/pause', [{ deep: { [nul]: 1 } }]],
      [
        '/accounts/exchange-api-key',
        { integration: 'amocrm', domain: 'demo', login: nul, api_key: 'x'.repeat(20) },
      ],
    ] as const) {
      const answer = await broker.post(path, body)
      t.match(answer, { status: 400, body: { code: 'bad_request' } }, path)
    }
    const external = {
      provider: 'amocrm',
      redirect_uri: `${broker.publicUrl}${PATH}`,
      sandbox_origin: sandbox.origin,
      profile: { authorize_parameters: { a: '\ud800' } },
    }
    t.equal((await broker.post('/buttons', { external })).status, 400, 'half of a pair')
    for (const path of [
      `/onboarding/urn:uuid:${id}`,
      `/onboarding/problems/no_code?link=urn:uuid:${id}`,
      '/connect/%00',
      `${PATH}?code=${madeUp(1)}&state=a%00.b.c`,
      `${PATH}?error=%00&state=x`,
    ]) {
      t.equal((await fetch(broker.publicUrl + path)).status, 400, path)
    }
    const response = await fetch(`${broker.publicUrl}/hooks/secrets`, {
      method: 'POST',
      body: new URLSearchParams({ client_id: CLIENT_ID, client_secret: nul, state: 'x' }),
    })
    t.equal(response.status, 400)
  })

  await t.test('Redis cannot turn away calls that come once', async (t) => {
    await query(databaseUrl, `update amo_integrations set "acceptsInstalls" = true`)
    await until(async () => (await broker.get('/integrations/amocrm')).body.accepts_installs)
    const redis = new Redis(redisUrl())
    t.teardown(() => redis.disconnect())
    const deploymentId = new URL(databaseUrl).pathname.slice(1)
    const key = `amo:${deploymentId}:requests:127.0.0.1`
    await redis.set(key, 1_000_000, 'PX', 60_000)
    t.equal(
      (await fetch(`${broker.publicUrl}/connect/x`)).status,
      429,
      'a page can be opened again',
    )
    const { account, integration } = grantee(stage, 'once')
    const installed = await sendInstall(sandbox.world, integration, account)
    t.equal(installed.status, 200)
    const signature = signDisconnect(CLIENT_SECRET, CLIENT_ID, account.accountId)
    const hook = `/hooks/disconnect?account_id=${account.accountId}&client_uuid=${CLIENT_ID}&signature=${signature}`
    t.equal((await fetch(broker.publicUrl + hook)).status, 200)
    await redis.del(key)
    await until(async () => (await broker.get('/accounts/once')).body.status === 'pending')
  })

  await t.test('unsigned hooks are limited by address', async (t) => {
    const hook = `/hooks/disconnect?account_id=1&client_uuid=${CLIENT_ID}&signature=${'0'.repeat(64)}`
    const statuses = new Set<number>()
    for (let times = 0; times < 70; times += 1) {
      statuses.add((await fetch(broker.publicUrl + hook)).status)
    }
    t.same([...statuses], [403, 429])
  })
})

t.test('places on disk: none of them can be used up by what nothing proves', (t) => {
  const places = new CallbackPlaces()
  const taken = (kind: Parameters<CallbackPlaces['take']>[1], of: (index: number) => string) =>
    Array.from({ length: 600 }, (_, index) =>
      places.take(`${kind} ${of(index)} ${index}`, kind, of(index)),
    ).filter(Boolean).length
  t.equal(
    taken('unexpected', () => 'one network'),
    10,
  )
  t.equal(
    taken('unexpected', (index) => `network ${index}`),
    90,
  )
  t.equal(
    taken('proven', () => 'the state of a button'),
    3,
  )
  t.equal(
    taken('expected', () => 'a server of the provider'),
    40,
  )
  t.ok(places.take('unexpected one network 0', 'unexpected', 'one network'), 'the same code')
  t.notOk(places.take('another', 'unexpected', 'one network'))
  places.free('unexpected one network 0')
  t.ok(places.take('another', 'unexpected', 'one network'))
  t.end()
})

t.test('PostgreSQL hangs: a button’s state gets three places, and readiness says so', async (t) => {
  const databaseUrl = await createDatabase(t)
  const proxy = await startProxy(t, databaseUrl)
  const deploymentId = new URL(databaseUrl).pathname.slice(1)
  const stage = await startBrokerWithSandbox(t, {
    databaseUrl: proxy.url,
    deploymentId,
    connect: false,
  })
  const { broker, sandbox } = stage
  await query(databaseUrl, `update amo_integrations set "acceptsInstalls" = true`)
  await until(async () => (await broker.get('/integrations/amocrm')).body.accepts_installs)
  const { body } = await broker.post('/buttons', { integration: 'amocrm' })
  proxy.set('hang')
  const statuses: number[] = []
  for (let index = 0; index < 90; index += 1) {
    const query = new URLSearchParams({
      code: madeUp(index),
      state: body.state,
      referer: 'demo.amocrm.ru',
      client_id: CLIENT_ID,
      from_widget: '1',
    })
    statuses.push((await ask(broker.publicUrl, 'GET', `${PATH}?${query}`)).status)
  }
  t.equal(statuses.filter((status) => status === 200).length, 3)
  const { account, integration } = grantee(stage)
  t.equal((await sendInstall(sandbox.world, integration, account)).status, 200, 'the honest one')
  proxy.set('pass')
  await until(async () => {
    const { body } = await broker.get('/health/ready')
    return body.degraded.some((each: string) => /callbacks: \d+ found no place/.test(each))
  })
  t.match(broker.log(), /callback found no place on disk/)
  await until(async () => (await broker.get('/accounts/demo')).body.status === 'pending')
})

t.test('after 90 days rows are removed, and no code is taken twice', async (t) => {
  const stage = await startBrokerWithSandbox(t, { connect: false })
  const { broker, databaseUrl } = stage
  const person = new Person()
  const callback = await person.decide(await linkOf(broker), 'allow')
  t.match(await person.finish(callback), { text: /is connected/ })
  const before = await query(databaseUrl, 'select fingerprint from amo_inbox')
  await query(
    databaseUrl,
    `insert into amo_inbox (kind, origin, integration, fingerprint, pair, "finishedAt", outcome)
     values ('callback', 'consent', 'amocrm', 'has a pair', 'x', now(), 'other_account')`,
  )
  await query(
    databaseUrl,
    `insert into amo_exchanges (integration, domain, "userHash", "createdBy", outcome)
     values ('amocrm', 'x', 'x', 'x', 'too_soon')`,
  )
  const url = new Secret(databaseUrl)
  const log = pino({ level: 'silent' })
  const database = openPostgres(url, url, log)
  t.teardown(() => database.close())
  const retention = new OnboardingRetention(database, log)
  await retention.run()
  t.equal((await query(databaseUrl, 'select from amo_inbox')).length, 2, 'not before')
  await query(databaseUrl, `update amo_inbox set "receivedAt" = now() - interval '91 days'`)
  await query(databaseUrl, `update amo_exchanges set "createdAt" = now() - interval '91 days'`)
  await retention.run()
  t.same(await query(databaseUrl, 'select fingerprint from amo_inbox'), [
    { fingerprint: 'has a pair' },
  ])
  t.same(await query(databaseUrl, 'select from amo_exchanges'), [])
  t.same(await query(databaseUrl, 'select fingerprint from amo_known_codes'), before)
  // The same code again, by a new link.
  const again = await person.decide(await linkOf(broker), 'deny')
  again.searchParams.delete('error')
  again.searchParams.set('referer', 'demo.amocrm.ru')
  again.searchParams.set('code', callback.searchParams.get('code') ?? '')
  t.match(await person.finish(again), { text: /<small>code_used</ })
  t.equal(stage.sandbox.world.books.totals.codeExchanges, 1)
  await query(databaseUrl, `update amo_connect_links set "expiresAt" = now() - interval '91 days'`)
  await retention.run()
  t.same(await query(databaseUrl, 'select from amo_connect_links'), [])
})

t.test('a revoked integration: the text names both causes, the likelier one first', (t) => {
  for (const code of ['spent_elsewhere', 'token_revoked']) {
    t.match(explainFailure(code).problem, /customer revoked .* another service/, code)
  }
  t.end()
})
