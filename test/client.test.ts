import { setTimeout as delay } from 'node:timers/promises'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import {
  AmoTokenClient,
  type AmoTokenClientOptions,
  AmoTokenError,
  type AmoTokenEvent,
} from '../src/client/client.ts'
import { OPERATOR_KEY, until } from './support/broker.ts'
import { type BrokerFront, startFront } from './support/broker-front.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { makeClient } from './support/clients.ts'

// A process of its own, because the tests replace `performance.now`.
const stage = await startBrokerWithSandbox(t, { ownProcess: true })
const { broker, sandbox } = stage
const account = getDemo()
const realNow = performance.now.bind(performance)

/** A client with its own front, its events, and a clock that the test advances. */
async function setUp(test: Test, options: Partial<AmoTokenClientOptions> = {}) {
  const front = await startFront(test, broker.url)
  const events: AmoTokenEvent[] = []
  const client = new AmoTokenClient({
    url: front.url,
    key: OPERATOR_KEY,
    onEvent: (event) => events.push(event),
    followEvents: false,
    ...options,
  })
  let offsetMs = 0
  performance.now = () => realNow() + offsetMs
  test.teardown(() => {
    client.close()
    performance.now = realNow
  })
  const moveOn = (seconds: number) => {
    offsetMs += seconds * 1000
  }
  return { client, front, events, moveOn }
}

t.test('getToken: every field of the broker’s response', async (t) => {
  const { client } = await setUp(t)
  const token = await client.getToken('demo')
  const { body } = await broker.get('/tokens/demo')
  t.equal(token.accessToken, body.access_token)
  t.equal(token.apiUrl, sandbox.origin)
  t.equal(token.accountId, account.accountId)
  t.equal(token.generation, body.generation)
  t.equal(token.expiresAt.toISOString(), body.expires_at)
  t.equal(token.useUntil.toISOString(), body.use_until)
  t.equal(token.warning, undefined)
  t.equal((await client.getToken(account.accountId)).generation, body.generation, 'by its id too')
})

t.test('cache: for use_for, by a clock that does not jump', async (t) => {
  const { client, front, moveOn } = await setUp(t)
  front.patch = { use_for: 60 }
  await client.getToken('demo')
  const realDate = Date.now
  t.teardown(() => {
    Date.now = realDate
  })
  Date.now = () => realDate() + 86_400_000
  await client.getToken('demo')
  t.equal(front.tokenRequests().length, 1, 'a jump of the wall clock changes nothing')
  moveOn(58)
  await client.getToken('demo')
  t.equal(front.tokenRequests().length, 1, 'still within use_for')
  moveOn(3)
  await client.getToken('demo')
  t.equal(front.tokenRequests().length, 2, 'past use_for the broker is asked')
})

t.test('cache: use_for counts from before the request', async (t) => {
  const { client, front, moveOn } = await setUp(t)
  front.patch = { use_for: 60 }
  front.delayMs = 1_500
  await client.getToken('demo')
  front.delayMs = 0
  moveOn(59)
  await client.getToken('demo')
  t.equal(front.tokenRequests().length, 2)
})

t.test('cache: use_for 0 is never cached', async (t) => {
  const { client, front } = await setUp(t)
  front.patch = { use_for: 0 }
  await client.getToken('demo')
  await client.getToken('demo')
  t.equal(front.tokenRequests().length, 2)
  front.state = 'down'
  await t.rejects(client.getToken('demo'), { code: 'broker_unreachable' }, 'not as a spare either')
})

t.test('cache: an older generation never replaces a newer one', async (t) => {
  const { client, front, moveOn } = await setUp(t)
  front.patch = { use_for: 60, generation: 1_000_000 }
  await client.getToken('demo')
  moveOn(61)
  front.patch = { use_for: 60, generation: 999_999 }
  t.equal((await client.getToken('demo')).generation, 1_000_000)
})

t.test('one request in flight per account for any number of callers', async (t) => {
  const { client, front } = await setUp(t)
  front.delayMs = 200
  const tokens = await Promise.all(Array.from({ length: 100 }, () => client.getToken('demo')))
  t.equal(front.tokenRequests().length, 1)
  t.equal(new Set(tokens).size, 1)
})

t.test('min_ttl: sent to the broker; a capped token is asked for once', async (t) => {
  const { client, front } = await setUp(t)
  await client.getToken('demo')
  const token = await client.getToken('demo', { minTtlSeconds: 86_400 })
  t.equal(token.warning, 'min_ttl_capped')
  t.match(front.tokenRequests()[1]?.path, /min_ttl=86400/)
  await client.getToken('demo', { minTtlSeconds: 86_400 })
  await client.getToken('demo', { minTtlSeconds: 60 })
  t.equal(front.tokenRequests().length, 2)
})

for (const state of ['down', 'hung'] as const) {
  t.test(`broker ${state}: the cached token is used until its reserve is left`, async (t) => {
    const { client, front, events, moveOn } = await setUp(t, { timeoutMs: 3_500 })
    front.patch = { use_for: 60, expires_in: 720 }
    const token = await client.getToken('demo')
    front.state = state
    moveOn(61)
    t.equal(await client.getToken('demo'), token, 'past its promise')
    t.match(events, [{ type: 'cached_token_used', account: 'demo', generation: token.generation }])
    const startedMs = realNow()
    await Promise.all(Array.from({ length: 50 }, () => client.getToken('demo')))
    t.ok(realNow() - startedMs < 1_000, 'the others do not wait for a broker that is down')
    moveOn(651)
    t.equal(await client.getToken('demo'), token, 'after ten minutes, with 8 s left')
    moveOn(4)
    const code = state === 'down' ? 'broker_unreachable' : 'timeout'
    await t.rejects(client.getToken('demo'), { code, status: 0 }, 'with less than 5 s left')
    front.state = 'up'
    t.equal((await client.getToken('demo')).generation, token.generation, 'it is back')
  })
}

t.test('broker down: a short-lived token keeps a tenth of its life in reserve', async (t) => {
  const { client, front, moveOn } = await setUp(t)
  const now = Math.floor(Date.now() / 1000)
  const claims = Buffer.from(JSON.stringify({ iat: now, exp: now + 10 })).toString('base64url')
  front.patch = { access_token: `a.${claims}.c`, use_for: 6, expires_in: 10 }
  await client.getToken('demo')
  front.state = 'down'
  moveOn(8.5)
  t.ok(await client.getToken('demo'), 'with 1.5 s left')
  moveOn(0.7)
  await t.rejects(
    client.getToken('demo'),
    { code: 'broker_unreachable' },
    'with less than 1 s left',
  )
})

t.test('503: the second attempt comes after Retry-After and jitter', async (t) => {
  const { client, front } = await setUp(t)
  const realRandom = Math.random
  t.teardown(() => {
    Math.random = realRandom
  })
  Math.random = () => 1
  front.script = [{ status: 503, headers: { 'retry-after': '1' } }]
  const token = await client.getToken('demo')
  t.ok(token.generation > 0)
  const [first, second] = front.tokenRequests()
  const waitedMs = (second?.atMs ?? 0) - (first?.atMs ?? 0)
  t.ok(waitedMs >= 1_190, `waited ${waitedMs} ms: one second, and 200 ms of jitter`)
})

t.test('503: two attempts, then the error with its remedy', async (t) => {
  const { client, front } = await setUp(t)
  const body = { code: 'provider_unavailable', detail: 'd', remedy: 'r', request_id: 'id-1' }
  front.script = Array.from({ length: 4 }, () => ({ status: 503, body }))
  await t.rejects(client.getToken('demo'), {
    name: 'AmoTokenError',
    message: 'd',
    code: 'provider_unavailable',
    status: 503,
    remedy: 'r',
    requestId: 'id-1',
  })
  t.equal(front.tokenRequests().length, 2)
})

t.test('503: no wait that the caller’s deadline does not allow', async (t) => {
  const { client, front } = await setUp(t)
  front.script = [{ status: 503, headers: { 'retry-after': '3' } }]
  const startedMs = realNow()
  await t.rejects(client.getToken('demo', { timeoutMs: 1_000 }), {
    code: 'unreadable_response',
    retryAfterMs: 3_000,
  })
  t.ok(realNow() - startedMs < 900, 'it failed at once')
  t.equal(front.tokenRequests().length, 1)
})

t.test('permanent errors: as AmoTokenError, remembered for 5 s', async (t) => {
  const { client, front, moveOn } = await setUp(t)
  const error = await client.getToken('nobody').catch((each: unknown) => each)
  t.ok(error instanceof AmoTokenError)
  t.match(error, {
    code: 'account_not_found',
    status: 404,
    remedy: /connect-links/,
    requestId: /./,
  })
  moveOn(4)
  await t.rejects(client.getToken('nobody'), { code: 'account_not_found' })
  t.equal(front.tokenRequests().length, 1, 'not asked again')
  moveOn(2)
  await t.rejects(client.getToken('nobody'), { code: 'account_not_found' })
  t.equal(front.tokenRequests().length, 2, 'asked again after 5 s')
})

t.test('key: a function is called again after a 401 from the broker', async (t) => {
  const keys = ['amo_rd_wrong', OPERATOR_KEY]
  let calls = 0
  const key = async () => keys[Math.min(calls++, 1)] ?? ''
  const { client, front } = await setUp(t, { key })
  t.ok(await client.getToken('demo'))
  t.same(
    front.tokenRequests().map((each) => each.key),
    keys,
  )
  const { client: other } = await setUp(t, { key: 'amo_rd_wrong' })
  await t.rejects(other.getToken('demo'), { code: 'unauthorized', status: 401 })
})

t.test('fetch: token, base URL, query', async (t) => {
  const { client } = await setUp(t)
  const response = await client.fetch('demo', '/api/v4/account?with=version')
  t.equal(response.status, 200)
  t.match(await response.json(), { id: account.accountId })
  const absolute = await client.fetch('demo', 'https://demo.amocrm.ru/api/v4/account')
  t.equal(absolute.status, 200, 'a URL of the account’s domain leads to api_url')
  const asRequest = new Request('https://demo.amocrm.ru/api/v4/account', {
    headers: { 'x-a': '1' },
  })
  t.equal((await client.fetchFor('demo')(asRequest)).status, 200)
})

t.test('fetch: the token goes to no other host', async (t) => {
  const { client } = await setUp(t)
  for (const url of ['https://example.com/a', '//example.com/a', 'http://demo.amocrm.ru/a']) {
    await t.rejects(client.fetch('demo', url), { code: 'foreign_url' }, url)
  }
  const { client: trusting } = await setUp(t, {
    trustedOrigins: [sandbox.origin.replace('127.0.0.1', 'localhost')],
  })
  const url = `${sandbox.origin.replace('127.0.0.1', 'localhost')}/api/v4/account`
  t.equal((await trusting.fetch('demo', url)).status, 200, 'unless it is named')
})

t.test('fetch 401: reported once for all callers, and each repeats its request', async (t) => {
  const { client, front, events } = await setUp(t)
  const token = await client.getToken('demo')
  const before = sandbox.world.books.totals.refreshes
  killAccessToken()
  const statuses = await Promise.all(
    Array.from({ length: 50 }, async () => (await client.fetch('demo', '/api/v4/account')).status),
  )
  t.same(new Set(statuses), new Set([200]))
  t.equal(reportsOf(front).length, 1)
  t.equal(sandbox.world.books.totals.refreshes, before + 1)
  t.match(events, [{ type: 'reported', generation: token.generation }])
  const next = await client.getToken('demo')
  t.ok(next.generation > token.generation, 'the new token is cached')
  const late = await client.fetch('demo', '/api/v4/account')
  t.equal(late.status, 200)
  t.equal(reportsOf(front).length, 1)
})

t.test('fetch 401: a late response for an old generation is not reported', async (t) => {
  let release = () => {}
  let isSlow = true
  const late = new Promise<void>((resolve) => {
    release = resolve
  })
  const { client, front, moveOn } = await setUp(t, {
    fetch: async (input, init) => {
      const response = await fetch(input, init)
      if (!String(input).startsWith(sandbox.origin) || !isSlow) return response
      isSlow = false
      await late
      return response
    },
  })
  await client.getToken('demo')
  killAccessToken()
  const slow = client.fetch('demo', '/api/v4/account')
  await until(() => !isSlow)
  t.equal((await client.fetch('demo', '/api/v4/account')).status, 200)
  moveOn(11)
  release()
  t.equal((await slow).status, 200)
  t.equal(reportsOf(front).length, 1)
})

t.test('fetch 401 of a live token: repeated, and not reported again at once', async (t) => {
  const { client, front, moveOn } = await setUp(t)
  await client.getToken('demo')
  for (const expected of [1, 1]) {
    sandbox.world.faults.set([{ fault: 'revoked', endpoint: 'api', times: 1, account: 'demo' }])
    // The fault must hit the client's request and not the broker's later one.
    t.equal((await client.fetch('demo', '/api/v4/account')).status, 200)
    t.equal(reportsOf(front).length, expected)
  }
  moveOn(11)
  sandbox.world.faults.set([{ fault: 'revoked', endpoint: 'api', times: 1, account: 'demo' }])
  t.equal((await client.fetch('demo', '/api/v4/account')).status, 200)
  t.equal(reportsOf(front).length, 2, 'a later one is reported')
  sandbox.world.faults.clear()
})

t.test('fetch 401 twice: the caller gets the second response', async (t) => {
  const { client, front } = await setUp(t)
  await client.getToken('demo')
  front.script = []
  front.patch = { access_token: 'dead', generation: 5_000_000 }
  killAccessToken()
  const startedCalls = sandbox.world.books.totals.apiCalls
  t.equal((await client.fetch('demo', '/api/v4/account')).status, 401)
  const calls = sandbox.world.books.totals.apiCalls - startedCalls
  t.equal(calls, 3, 'one, the broker’s question, and one repetition')
})

t.test('fetch 401: a body is sent again if it can be', async (t) => {
  const { client, front } = await setUp(t)
  const lead = [{ name: 'New lead' }]
  const bodies: [string, () => RequestInit['body'], number][] = [
    ['string', () => JSON.stringify(lead), 200],
    ['bytes', () => new TextEncoder().encode(JSON.stringify(lead)), 200],
    ['stream', () => new Blob([JSON.stringify(lead)]).stream(), 401],
  ]
  for (const [name, body, status] of bodies) {
    await client.getToken('demo')
    killAccessToken()
    const init = {
      method: 'POST',
      body: body(),
      duplex: 'half',
      headers: { 'content-type': 'application/json' },
    }
    const response = await client.fetch('demo', '/api/v4/leads', init as RequestInit)
    t.equal(response.status, status, name)
  }
  t.equal(reportsOf(front).length, 3, 'reported in any case')
  await client.getToken('demo')
  killAccessToken()
  const request = new Request(`${sandbox.origin}/api/v4/leads`, {
    method: 'POST',
    body: JSON.stringify(lead),
    headers: { 'content-type': 'application/json' },
  })
  t.equal((await client.fetch('demo', request)).status, 200, 'a Request')
})

t.test('fetch 401 while the broker is down: the caller gets the 401', async (t) => {
  const { client, front, events } = await setUp(t)
  await client.getToken('demo')
  killAccessToken()
  front.state = 'down'
  t.equal((await client.fetch('demo', '/api/v4/account')).status, 401)
  t.match(events, [{ type: 'reported' }, { type: 'report_failed' }])
  front.state = 'up'
  await delay(1_100)
  t.equal((await client.fetch('demo', '/api/v4/account')).status, 200)
})

t.test('AbortSignal: ends the wait of its caller only', async (t) => {
  const { client, front } = await setUp(t)
  front.delayMs = 700
  const abort = new AbortController()
  const aborted = client.getToken('demo', { signal: abort.signal })
  const other = client.getToken('demo')
  await delay(100)
  abort.abort(new Error('changed my mind'))
  await t.rejects(aborted, { message: 'changed my mind' })
  t.ok(await other)
  t.equal(front.tokenRequests().length, 1)
  await t.rejects(client.getToken('demo', { signal: AbortSignal.abort(new Error('no')) }), {
    message: 'no',
  })
})

t.test('AbortSignal: a request that nobody waits for is ended', async (t) => {
  const { client, front } = await setUp(t)
  front.state = 'hung'
  const aborts = [new AbortController(), new AbortController()]
  const waits = aborts.map(({ signal }) => client.getToken('demo', { signal }).catch(() => {}))
  await until(() => front.tokenRequests().length === 1)
  for (const abort of aborts) abort.abort()
  await Promise.all(waits)
  await until(() => front.tokenRequests()[0]?.isAborted, 2_500)
  t.equal(front.tokenRequests().length, 1)
})

t.test('AbortSignal: ends a wait for Retry-After, a fetch, and a wait for a report', async (t) => {
  const { client, front } = await setUp(t)
  front.script = [{ status: 503, headers: { 'retry-after': '5' } }]
  const startedMs = realNow()
  await t.rejects(client.getToken('demo', { signal: AbortSignal.timeout(200) }), {
    name: 'TimeoutError',
  })
  await client.getToken('demo')
  front.state = 'hung'
  killAccessToken()
  await t.rejects(client.fetch('demo', '/api/v4/account', { signal: AbortSignal.timeout(200) }), {
    name: 'TimeoutError',
  })
  t.ok(realNow() - startedMs < 2_000)
})

t.test('inspect and JSON show neither the token nor the key', async (t) => {
  const { client, front } = await setUp(t)
  const token = await client.getToken('demo')
  front.script = [{ status: 403, body: { code: 'forbidden', detail: 'no' } }]
  const error = await client.getToken('other').catch((each: unknown) => each)
  for (const value of [client, token, error, { ...token }, client.fetchFor('demo')]) {
    const shown = `${inspect(value, { depth: 9, showHidden: true })} ${JSON.stringify(value)} ${String(value)}`
    t.notOk(shown.includes(token.accessToken), 'no token')
    t.notOk(shown.includes(OPERATOR_KEY), 'no key')
  }
  t.match(JSON.stringify(token), /"generation"/)
})

t.test('reauth_required: no token, and the link for the administrator', async (t) => {
  const { client, front } = await setUp(t)
  front.script = [
    {
      status: 409,
      body: { code: 'reauth_required', detail: 'd', connect_url: 'https://broker/connect/x' },
    },
  ]
  await t.rejects(client.getToken('demo'), {
    code: 'reauth_required',
    status: 409,
    connectUrl: 'https://broker/connect/x',
  })
})

t.test('permanent refusal: the cached token is dropped', async (t) => {
  const { client, front, moveOn } = await setUp(t)
  front.patch = { use_for: 60 }
  await client.getToken('demo')
  moveOn(61)
  front.script = [{ status: 409, body: { code: 'disconnected', detail: 'd' } }]
  await t.rejects(client.getToken('demo'), { code: 'disconnected' })
  moveOn(6)
  front.state = 'down'
  await t.rejects(client.getToken('demo'), { code: 'broker_unreachable' })
})

t.test('a reader’s key and the integration parameter', async (t) => {
  const key = await makeClient(broker, 'client-test', 'reader', [
    { integration: 'amocrm', account: 'demo' },
  ])
  const { client, front } = await setUp(t, { key, integration: 'amocrm' })
  t.equal((await client.fetch('demo.amocrm.ru', '/api/v4/account')).status, 200)
  t.match(front.tokenRequests()[0]?.path, '/tokens/demo.amocrm.ru?integration=amocrm')
})

t.test('events: an invalidated token is dropped at once', async (t) => {
  const { client, front, events } = await setUp(t, { followEvents: true })
  front.offersEvents = true
  const token = await client.getToken('demo')
  await until(() => front.streams() === 1)
  front.sendEvent('token.invalidated', {
    account: token.accountId + 1,
    generation: token.generation,
  })
  front.sendEvent('account.checked', { account: token.accountId, generation: token.generation })
  await delay(100)
  await client.getToken('demo')
  t.equal(front.tokenRequests().length, 1, 'another account’s event changes nothing')
  front.sendEvent('token.invalidated', { account: token.accountId, generation: token.generation })
  await until(() => events.length === 1)
  t.match(events, [{ type: 'invalidated', generation: token.generation }])
  await client.getToken('demo')
  t.equal(front.tokenRequests().length, 2)
  t.equal(front.streams(), 1)
  client.close()
  await until(() => front.streams() === 0)
})

t.test('events: a broker without them is not asked repeatedly', async (t) => {
  const { client, front, moveOn } = await setUp(t, { followEvents: true })
  for (let round = 0; round < 5; round += 1) {
    await client.getToken('demo')
    await delay(30)
    moveOn(120)
  }
  t.equal(front.requests.filter(({ path }) => path === '/events/stream').length, 1)
})

function killAccessToken(): void {
  sandbox.world.grants.expire(account, ['access_token'])
}

function reportsOf(front: BrokerFront) {
  return front.tokenRequests().filter(({ method }) => method === 'POST')
}

function getDemo() {
  const found = sandbox.world.directory.findAccount('demo')
  if (found === undefined) throw new Error('no account "demo"')
  return found
}
