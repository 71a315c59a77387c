import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { BookEntry } from '../src/sandbox/books.ts'
import { faultTable } from '../src/sandbox/fault-table.ts'
import type { FaultSpec } from '../src/sandbox/faults.ts'
import type { SandboxOptions } from '../src/sandbox/options.ts'
import { createPrng } from '../src/sandbox/prng.ts'
import { buildSandbox } from '../src/sandbox/sandbox.ts'
import { createVisitor } from '../src/sandbox/visitor.ts'

const CLIENT_ID = '11111111-0000-4000-8000-000000000001'
const REDIRECT_URI = 'http://127.0.0.1:1/callback'
const HOST = 'demo.amocrm.ru'
const API_HOST = 'api-b.amocrm.ru'
const tried = new Set<string>()

async function start(test: Pick<typeof t, 'after'>, options: SandboxOptions = {}) {
  const sandbox = await buildSandbox({
    integrations: [
      {
        platform: 'amocrm',
        clientId: CLIENT_ID,
        clientSecret: 'amo-secret',
        redirectUri: REDIRECT_URI,
      },
    ],
    accounts: [
      { platform: 'amocrm', subdomain: 'demo', accountId: 30878000 },
      { platform: 'amocrm', subdomain: 'second', accountId: 30878001 },
    ],
    limits: false,
    ...options,
  })
  test.after(() => sandbox.close())
  const { world } = sandbox
  const visitor = createVisitor(await sandbox.listen())
  const faults = (...specs: FaultSpec[]) => {
    for (const { fault } of specs) tried.add(fault)
    world.faults.set(specs)
  }
  const mint = async (account = 'demo') => {
    const { body } = await visitor.control('POST', '/mint', { client_id: CLIENT_ID, account })
    return { access: String(body.access_token), refreshToken: String(body.refresh_token) }
  }
  const refresh = (token: string, host = HOST, signal?: AbortSignal) =>
    visitor.token(
      host,
      {
        client_id: CLIENT_ID,
        client_secret: 'amo-secret',
        grant_type: 'refresh_token',
        redirect_uri: REDIRECT_URI,
        refresh_token: token,
      },
      signal === undefined ? {} : { signal },
    )
  /** Returns whether the token is really spent, regardless of faults. */
  const isSpent = (token: string) =>
    world.grants.findOpaque(token, 'refresh_token')?.state === 'spent'
  const lastEntry = (): Partial<BookEntry> => world.books.list().at(-1) ?? {}
  return { sandbox, world, visitor, faults, mint, refresh, isSpent, lastEntry }
}

/** Waits at most two seconds for the effect of another connection. */
async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 400 && !condition(); turn += 1) await delay(5)
  if (!condition()) throw new Error('it did not happen within two seconds')
}

t.test(
  'faults that cut the connection: before or after the spend, or within the response',
  async (t) => {
    const s = await start(t)
    const rows = [
      [{ fault: 'drop_before_spend', times: 1 }, false],
      [{ fault: 'drop_before_spend', how: 'close', times: 1 }, false],
      [{ fault: 'drop_after_spend', times: 1 }, true],
      [{ fault: 'cut_answer', times: 1 }, true],
    ] as const
    for (const [fault, spends] of rows) {
      const { refreshToken } = await s.mint()
      s.faults(fault)
      await t.rejects(s.refresh(refreshToken), fault.fault)
      t.equal(s.isSpent(refreshToken), spends, fault.fault)
      t.match(s.lastEntry(), { fault: fault.fault, spent: spends, answered: false })
      const again = await s.refresh(refreshToken)
      t.equal(again.status, spends ? 401 : 200, 'times has run out')
    }
    t.match(s.world.books.totals, { faultsFired: 4, reusedRefreshTokens: 2, refreshes: 4 })
  },
)

t.test(
  'faults that replace the response: status and type as documented, nothing spent',
  async (t) => {
    const s = await start(t)
    const { refreshToken } = await s.mint()
    const html = 'text/html'
    const problem = 'application/problem+json'
    const rows: [FaultSpec, number, string, string | undefined][] = [
      [{ fault: 'bad_gateway_before_spend' }, 502, html, undefined],
      [{ fault: 'bad_gateway_before_spend', status: 504 }, 504, html, undefined],
      [{ fault: 'forbidden_html' }, 403, html, undefined],
      [{ fault: 'too_many_requests' }, 429, 'text/plain; charset=utf-8', undefined],
      [{ fault: 'renamed_404' }, 404, problem, undefined],
      [{ fault: 'renamed_401' }, 401, problem, undefined],
      [{ fault: 'unauthorized_without_hint' }, 401, problem, undefined],
      [{ fault: 'wrong_secret' }, 401, problem, undefined],
      [{ fault: 'revoked' }, 401, problem, 'Token has been revoked'],
      [{ fault: 'refresh_token_expired' }, 401, problem, 'Token has expired'],
      [{ fault: 'server_error' }, 500, problem, undefined],
      [{ fault: 'server_error', status: 503 }, 503, problem, undefined],
    ]
    for (const [fault, status, contentType, hint] of rows) {
      s.faults(fault)
      const answer = await s.refresh(refreshToken)
      t.match(answer, { status, contentType }, fault.fault)
      t.equal(answer.body.hint, hint, fault.fault)
      t.match(s.lastEntry(), { fault: fault.fault, spent: false, answered: true })
      t.notOk(s.isSpent(refreshToken), fault.fault)
    }
    s.faults({ fault: 'renamed_404' })
    t.equal(
      (await s.visitor.probe(API_HOST, refreshToken)).status,
      200,
      'the API host knows better',
    )
    t.equal((await s.visitor.probe(HOST, refreshToken)).status, 404)
    s.faults()
    t.equal((await s.refresh(refreshToken)).status, 200)
  },
)

t.test('faults after the spend: 502, 500; the new pair is lost', async (t) => {
  const s = await start(t)
  for (const [fault, status] of [
    ['bad_gateway_after_spend', 502],
    ['server_error_after_spend', 500],
  ] as const) {
    const { refreshToken } = await s.mint()
    s.faults({ fault })
    t.equal((await s.refresh(refreshToken)).status, status)
    t.ok(s.isSpent(refreshToken))
    t.match(s.lastEntry(), { outcome: 'accepted', spent: true, answered: false, fault })
    t.equal((await s.refresh(refreshToken)).status, 401, 'not for refusals')
  }
})

t.test('silent: never responds; spent only where the name says so', async (t) => {
  const s = await start(t)
  for (const [fault, spends] of [
    ['silent', false],
    ['silent_after_spend', true],
  ] as const) {
    const { refreshToken } = await s.mint()
    s.faults({ fault })
    await t.rejects(s.refresh(refreshToken, HOST, AbortSignal.timeout(60)))
    t.equal(s.isSpent(refreshToken), spends, fault)
  }
})

t.test('process_late: spends after the hang-up, or without responding', async (t) => {
  const s = await start(t)
  const first = await s.mint()
  s.faults({ fault: 'process_late', delay_ms: 40, times: 1 })
  await t.rejects(s.refresh(first.refreshToken, HOST, AbortSignal.timeout(60)))
  t.notOk(s.isSpent(first.refreshToken), 'not yet')
  t.equal((await s.visitor.probe(API_HOST, first.refreshToken)).status, 200, 'the probe says alive')
  await until(() => s.isSpent(first.refreshToken))
  const [late] = s.world.books.list()
  t.match(late, { seq: 1, outcome: 'accepted', spent: true, answered: false })

  const second = await s.mint()
  s.faults({ fault: 'process_late', delay_ms: 20, after: 'arrival', times: 1 })
  const hanging = t.rejects(s.refresh(second.refreshToken, HOST, AbortSignal.timeout(150)))
  await until(() => s.isSpent(second.refreshToken))
  await hanging
})

t.test('process_late: the books are in the order of arrival', async (t) => {
  const s = await start(t)
  const { refreshToken } = await s.mint()
  s.faults({ fault: 'process_late', delay_ms: 60, times: 1 })
  await t.rejects(s.refresh(refreshToken, HOST, AbortSignal.timeout(30)))
  t.equal((await s.visitor.probe(API_HOST, refreshToken)).status, 200)
  t.equal((await s.refresh(refreshToken)).status, 200)
  await until(() => s.world.books.totals.reusedRefreshTokens === 1)
  t.match(s.world.books.list(), [
    { endpoint: 'token', presentation: 'first', outcome: 'reused', spent: false },
    { endpoint: 'probe', outcome: 'alive' },
    { endpoint: 'token', presentation: 'after_probe', outcome: 'accepted', spent: true },
  ])
  t.equal(s.world.books.totals.presentedAgain, 0, 'the probe had allowed it')
})

t.test(
  'presentation: after a refusal that proves it unspent, or again without a reason',
  async (t) => {
    const s = await start(t)
    const { refreshToken } = await s.mint()
    s.faults(
      { fault: 'too_many_requests', times: 1 },
      { fault: 'bad_gateway_before_spend', times: 1 },
    )
    t.equal((await s.refresh(refreshToken)).status, 429)
    t.equal((await s.refresh(refreshToken)).status, 502)
    t.equal((await s.refresh(refreshToken)).status, 200)
    const presentations = s.world.books.list().map(({ presentation }) => presentation)
    t.strictSame(presentations, ['first', 'after_refusal', 'again'])
  },
)

t.test('presentation: a token cleared by a probe stays cleared after a refusal', async (t) => {
  const s = await start(t)
  const { refreshToken } = await s.mint()
  s.faults(
    { fault: 'bad_gateway_before_spend', times: 1 },
    { fault: 'too_many_requests', endpoint: 'token', times: 1 },
  )
  t.equal((await s.refresh(refreshToken)).status, 502)
  t.equal((await s.visitor.probe(API_HOST, refreshToken)).status, 200)
  t.equal((await s.refresh(refreshToken)).status, 429)
  t.equal((await s.refresh(refreshToken)).status, 200)
  t.match(s.world.books.list(), [
    { presentation: 'first' },
    { endpoint: 'probe' },
    { presentation: 'after_probe' },
    { presentation: 'after_refusal', outcome: 'accepted' },
  ])
})

t.test('delay_before_spend, delay_after_spend: a probe during the delay', async (t) => {
  const s = await start(t)
  for (const [fault, status] of [
    ['delay_before_spend', 200],
    ['delay_after_spend', 401],
  ] as const) {
    const { refreshToken } = await s.mint()
    s.faults({ fault, endpoint: 'token', delay_ms: 80, times: 1 })
    const answering = s.refresh(refreshToken)
    await until(() => s.world.faults.list()[0]?.fired === 1)
    t.equal((await s.visitor.probe(API_HOST, refreshToken)).status, status, fault)
    t.equal((await answering).status, 200, fault)
  }
  const { refreshToken } = await s.mint()
  s.faults({ fault: 'delay_before_spend', delay_ms: 40, times: 1 })
  await t.rejects(s.refresh(refreshToken, HOST, AbortSignal.timeout(20)))
  await until(() => s.isSpent(refreshToken))
  t.match(s.lastEntry(), { spent: true, answered: false }, 'spent although the client had gone')
})

t.test('probe_lies_alive, probe_lies_dead', async (t) => {
  const s = await start(t)
  const { refreshToken } = await s.mint()
  s.faults({ fault: 'probe_lies_dead', times: 1 })
  t.equal((await s.visitor.probe(API_HOST, refreshToken)).status, 401)
  t.equal((await s.visitor.probe(API_HOST, refreshToken)).status, 200)
  await s.refresh(refreshToken)
  s.faults({ fault: 'probe_lies_alive', times: 1 })
  t.match(await s.visitor.probe(API_HOST, refreshToken), { status: 200, body: { id: 30878000 } })
  t.match(s.lastEntry(), { outcome: 'lied_alive' })
  t.equal((await s.visitor.probe(API_HOST, refreshToken)).status, 401)
})

t.test('old_access_token_survives: for this refresh only', async (t) => {
  const s = await start(t)
  const pair = await s.mint()
  s.faults({ fault: 'old_access_token_survives', times: 1 })
  const next = await s.refresh(pair.refreshToken)
  t.equal((await s.visitor.api(HOST, '/api/v4/account', pair.access)).status, 200)
  await s.refresh(String(next.body.refresh_token))
  t.equal((await s.visitor.api(HOST, '/api/v4/account', pair.access)).status, 401)
})

t.test('body: malformed responses, after the spend', async (t) => {
  const s = await start(t)
  const answerWith = async (spec: Omit<FaultSpec, 'fault'>) => {
    const { refreshToken } = await s.mint()
    s.faults({ fault: 'body', ...spec })
    const answer = await s.refresh(refreshToken)
    t.ok(s.isSpent(refreshToken))
    return answer
  }
  t.match(await answerWith({ shape: 'empty' }), { status: 200, text: '' })
  t.match(s.lastEntry(), { spent: true, answered: false }, 'no pair in it')
  t.equal((await answerWith({ shape: 'huge' })).text.length, 5 * 1024 * 1024)
  t.match(await answerWith({ shape: 'html' }), { status: 200, contentType: 'text/html' })
  const truncated = await answerWith({ shape: 'truncated_json' })
  t.throws(() => JSON.parse(truncated.text))
  t.equal((await answerWith({ shape: 'expires_in_zero' })).body.expires_in, 0)
  t.equal((await answerWith({ shape: 'expires_in_negative' })).body.expires_in, -1)
  t.equal((await answerWith({ shape: 'expires_in_string' })).body.expires_in, '86400')
  t.notOk('expires_in' in (await answerWith({ shape: 'expires_in_missing' })).body)
  t.match(s.lastEntry(), { spent: true, answered: true }, 'the pair is in it')
  t.notOk('server_time' in (await answerWith({ shape: 'no_server_time' })).body)
  t.notOk('refresh_token' in (await answerWith({ shape: 'no_refresh_token' })).body)
  t.notOk('access_token' in (await answerWith({ shape: 'no_access_token' })).body)
  t.equal((await answerWith({ shape: 'access_token_no_jwt' })).body.access_token, 'no-jwt-at-all')
  const other = await answerWith({ shape: 'other_account', account_id: 77 })
  const payload = String(other.body.access_token).split('.')[1] ?? ''
  t.match(JSON.parse(Buffer.from(payload, 'base64url').toString()), { account_id: 77 })
  t.match(await answerWith({ patch: { expires_in: 5, extra: 'x' } }), {
    body: { expires_in: 5, extra: 'x', refresh_token: String },
  })
  const raw = { status: 201, content_type: 'text/weird', body: 'nonsense' }
  t.match(await answerWith(raw), { status: 201, contentType: 'text/weird', text: 'nonsense' })
})

t.test('a success is compressed by each content coding', async (t) => {
  const s = await start(t)
  for (const content_encoding of ['gzip', 'deflate', 'br', 'zstd'] as const) {
    const { refreshToken } = await s.mint()
    s.faults({ fault: 'compressed', content_encoding, times: 1 })
    const { status, text } = await s.refresh(refreshToken)
    t.equal(status, 200)
    t.notMatch(text, /refresh_token/, content_encoding)
    t.match(s.lastEntry(), { fault: 'compressed', spent: true, answered: true })
  }
})

t.test('faults for the API: 401, 429, 502, cut', async (t) => {
  const s = await start(t)
  const { access, refreshToken } = await s.mint()
  const get = () => s.visitor.api(HOST, '/api/v4/account', access)
  for (const [fault, status] of [
    ['revoked', 401],
    ['too_many_requests', 429],
    ['bad_gateway_before_spend', 502],
    ['forbidden_html', 403],
  ] as const) {
    s.faults({ fault, endpoint: 'api' })
    t.equal((await get()).status, status, fault)
  }
  s.faults({ fault: 'cut_answer', endpoint: 'api' })
  await t.rejects(get())
  t.equal((await s.refresh(refreshToken)).status, 200, 'the token endpoint is left alone')
})

t.test('a fault for one account, by subdomain, id or domain, affects no other', async (t) => {
  const s = await start(t)
  for (const account of ['second', 30878001, 'second.amocrm.ru']) {
    s.faults({ fault: 'forbidden_html', account })
    const mine = await s.mint()
    const theirs = await s.mint('second')
    t.equal((await s.refresh(mine.refreshToken)).status, 200)
    t.equal((await s.refresh(theirs.refreshToken, 'second.amocrm.ru')).status, 403)
  }
  s.faults({ fault: 'forbidden_html', client_id: 'somebody-else' })
  t.equal((await s.refresh((await s.mint()).refreshToken)).status, 200)
})

t.test('probability: the same seed gives the same faults', async (t) => {
  const s = await start(t)
  const run = async (seed: number) => {
    s.faults({ fault: 'too_many_requests', probability: 0.5, seed })
    const statuses: number[] = []
    for (let call = 0; call < 20; call += 1) {
      statuses.push((await s.refresh((await s.mint()).refreshToken)).status)
    }
    return statuses
  }
  const first = await run(7)
  t.strictSame(await run(7), first)
  t.notSame(await run(8), first)
  t.ok(first.includes(200) && first.includes(429))
  const random = createPrng(1)
  const numbers = Array.from({ length: 10_000 }, random)
  const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length
  t.ok(Math.abs(mean - 0.5) < 0.02 && numbers.every((n) => n >= 0 && n < 1))
})

t.test('PUT, POST, GET, DELETE /__sandbox/faults', async (t) => {
  const { visitor } = await start(t)
  const { control } = visitor
  const set = await control('PUT', '/faults', [{ fault: 'silent', times: 2, account: 'demo' }])
  t.strictSame(set.body.faults, [
    { fault: 'silent', times: 2, account: 'demo', remaining: 2, fired: 0 },
  ])
  await control('POST', '/faults', [{ fault: 'revoked', account: 30878000 }])
  t.match(await control('GET', '/faults'), {
    body: {
      faults: [{ fault: 'silent' }, { fault: 'revoked', account: 30878000, remaining: null }],
    },
  })
  t.match(await control('PUT', '/faults', [{ fault: 'nonsense' }]), {
    status: 400,
    body: { detail: 'no fault is called nonsense' },
  })
  const unknownShape = await control('PUT', '/faults', [{ fault: 'body', shape: 'nonsense' }])
  t.equal(unknownShape.status, 400)
  t.equal((await control('PUT', '/faults', [{ fault: 'silent', color: 1 }])).status, 400)
  t.match(await control('GET', '/faults'), { body: { faults: [Object, Object] } }, 'unchanged')
  t.match(await control('DELETE', '/faults'), { body: { faults: [] } })
})

t.test('GET /__sandbox/books and /stats: bounded, by account, never a token', async (t) => {
  const s = await start(t, { booksSize: 5 })
  let { refreshToken } = await s.mint()
  const other = await s.mint('second')
  await s.refresh(other.refreshToken, 'second.amocrm.ru')
  for (let call = 0; call < 6; call += 1) {
    refreshToken = String((await s.refresh(refreshToken)).body.refresh_token)
  }
  await s.refresh(other.refreshToken, 'second.amocrm.ru')
  const { body, text } = await s.visitor.control('GET', '/books?since=0')
  const entries = body.entries as Record<string, unknown>[]
  t.strictSame(
    entries.map(({ seq }) => seq),
    [4, 5, 6, 7, 8],
    'the last five',
  )
  t.equal(body.next_since, 8)
  t.notMatch(text, /def502|eyJ/)
  t.match(entries[4], {
    kind: 'refresh_token',
    endpoint: 'token',
    token_id: /^[0-9a-f]{16}$/,
    account_id: 30878001,
    client_id: CLIENT_ID,
    outcome: 'reused',
    presentation: 'again',
    spent: false,
    answered: true,
    at: Number,
    arrived_at: Number,
  })
  t.equal(entries[0]?.new_token_id, entries[1]?.token_id)
  t.match(await s.visitor.control('GET', '/books?account=second&since=7'), {
    body: { entries: [{ seq: 8 }], next_since: 8 },
  })
  t.match(await s.visitor.control('GET', '/books?since=3&limit=2'), {
    body: { entries: [{ seq: 4 }, { seq: 5 }], next_since: 5 },
  })
  const stats = await s.visitor.control('GET', '/stats?account=demo')
  t.match(stats.body, {
    refreshes: 7,
    reused_refresh_tokens: 1,
    accounts: [{ account_id: 30878000, refreshes: 6, reused_refresh_tokens: 0 }],
  })
  const all = await s.visitor.control('GET', '/stats?accounts=true')
  t.match(all.body.accounts, [
    { current: [{ client_id: CLIENT_ID, refresh_token_id: String, pairs_issued: 7 }] },
    { current: [{ pairs_issued: 2 }] },
  ])
  await s.visitor.control('DELETE', '/books')
  t.match((await s.visitor.control('GET', '/stats')).body, { refreshes: 0 })
})

t.test('close() ends silent connections and does not wait for late work', async (t) => {
  const s = await start(t)
  const { refreshToken } = await s.mint()
  s.faults({ fault: 'silent', times: 1 }, { fault: 'delay_before_spend', delay_ms: 60_000 })
  const silent = t.rejects(s.refresh(refreshToken))
  await until(() => s.world.books.totals.faultsFired > 0)
  const waiting = t.rejects(s.refresh(refreshToken))
  await until(() => s.world.books.totals.faultsFired > 1)
  await s.sandbox.close()
  await Promise.all([silent, waiting])
})

t.test('every fault of the table is tested above', async (t) => {
  t.strictSame(
    [...faultTable.keys()].filter((fault) => !tried.has(fault)),
    [],
  )
})
