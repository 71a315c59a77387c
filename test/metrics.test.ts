import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Registry } from '@prometheus-io/client'
import { pino } from 'pino'
import t from 'tap'
import { openPostgres } from '../src/db/postgres.ts'
import { Storage } from '../src/db/storage-state.ts'
import type { Clock } from '../src/lib/clock.ts'
import { systemClock } from '../src/lib/clock.ts'
import { DatabaseSnapshot } from '../src/monitoring/database-snapshot.ts'
import { LoopWatch } from '../src/monitoring/loop-watch.ts'
import { registerStorageMetrics } from '../src/monitoring/storage-metrics.ts'
import { ONBOARDING_ENDS } from '../src/onboarding/outcomes.ts'
import { Secret } from '../src/vault/secret.ts'
import { OPERATOR_KEY, until } from './support/broker.ts'
import { afterAttempt, startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { ask, makeClient } from './support/clients.ts'
import { query } from './support/database.ts'
import { createDatabaseWithAccounts } from './support/database-with-accounts.ts'
import { rowsOf, sectionOf } from './support/markdown.ts'
import { scrape } from './support/scrape.ts'

const ROOT = join(import.meta.dirname, '..')
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')
/** Outcomes of pages that belong to no callback. */
const ONLY_ON_PAGES = [
  ...['broken', 'secrets_missing', 'link_expired', 'too_many_requests', 'malformed'],
  'storage_unavailable',
]
const documented = new Map(
  rowsOf(sectionOf(read('docs/operations.md'), 'Metrics')).map(
    ([name = '', ...cells]) => [name.replaceAll('`', ''), cells] as const,
  ),
)
/** Metrics that do not depend on a setting. */
const always = [...documented].filter(([, cells]) => !/only with `[A-Z_]+`/.test(cells.join(' ')))

t.test('GET /metrics: needs no key, counts refreshes, and names no account', async (t) => {
  const stage = await startBrokerWithSandbox(t, { env: { SEND_LIMIT_MS: '500', SETTLE_MS: '100' } })
  const { broker } = stage

  await t.test('every counter exists with 0 before anything happens', async (t) => {
    const { value, types, text } = await scrape(broker)
    const refreshes = 'amo_refreshes_total{integration="amocrm",end='
    for (const end of ['committed', 'parked', 'token_revoked', 'no_answer']) {
      t.equal(value(`${refreshes}"${end}"}`), 0, end)
    }
    for (const code of ['token_revoked', 'spent_elsewhere', 'pair_lost', 'grant_revoked']) {
      t.equal(value(`amo_accounts_condemned_total{integration="amocrm",code="${code}"}`), 0, code)
    }
    t.equal(value('amo_token_reads_total{result="unavailable",outcome="storage_unavailable"}'), 0)
    t.equal(value('amo_onboardings_total{outcome="access_denied"}'), 0)
    const counters = [...types].filter(([, type]) => type === 'counter').map(([name]) => name)
    for (const name of counters) t.match(text, new RegExp(`\\n${name}[{ ]`), `${name} has a series`)
  })

  await t.test('metrics, their types and HELP are those of docs/operations.md', async (t) => {
    const key = await makeClient(broker, 'prometheus', 'monitor')
    const { types, help } = await scrape(broker, { authorization: `Bearer ${key}` })
    const own = [...types].filter(([name]) => name.startsWith('amo_'))
    t.same(
      own.map(([name, type]) => `${name} ${type}`).toSorted(),
      always.map(([name, [type]]) => `${name} ${type}`).toSorted(),
    )
    for (const [name, [, over]] of always) {
      t.match(help.get(name), new RegExp(`; ${over} over replicas$`), name)
    }
  })

  await t.test('a refresh, and one whose pair is lost', async (t) => {
    await stage.makeDue()
    await afterAttempt(stage, 1)
    const before = await scrape(broker)
    t.equal(before.value('amo_refreshes_total{integration="amocrm",end="committed"}'), 1)
    const due = 'amo_refresh_seconds_count{lane="due",result='
    t.equal(before.value(`${due}"committed"}`), 1)
    t.equal(before.value(`${due}"refused"}`), 0)
    t.equal(before.value('amo_refresh_token_reuse_suspected_total'), 0)
    t.equal(before.value('amo_answer_keep_seconds_count'), 1)
    t.equal(before.value('amo_kept_answers_open'), 0)
    t.ok(Number(before.value('amo_echo_age_seconds')) < 3)
    t.ok(Number(before.value('amo_pace_used_ratio{integration="amocrm"}')) < 1)
    t.equal(before.value('amo_storage_state{state="writable"}'), 1)
    t.equal(before.value('amo_integration_state{integration="amocrm",state="running"}'), 1)
    t.equal(before.value('amo_breaker_open{integration="amocrm",scope="platform"}'), 0)
    t.ok(Number(before.value('amo_pool_size{pool="claims"}')) > 0)
    t.equal(before.value('amo_pool_waiting{pool="reads"}'), 0)

    stage.sandbox.world.faults.set([{ fault: 'silent_after_spend', endpoint: 'token', times: 1 }])
    await stage.makeDue()
    await until(async () => (await stage.row()).status === 'reauth_required', 40_000)
    const dead = 'amo_accounts{integration="amocrm",status="reauth_required"}'
    await until(async () => (await scrape(broker)).value(dead) === 1)
    const { value, text } = await scrape(broker)
    t.equal(value('amo_accounts{integration="amocrm",status="active"}'), 0)
    t.equal(value('amo_refresh_takeovers_total'), 1)
    t.equal(value('amo_claims_unresolved'), 0)
    t.equal(value('amo_accounts_condemned_total{integration="amocrm",code="pair_lost"}'), 1)
    const { accountId } = await stage.row()
    t.notMatch(text, new RegExp(`demo|${accountId}`), 'no account is named')
  })
})

t.test('GET /metrics: reads by outcome, and by client only for a monitor', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t)
  const grants = [{ integration: 'amocrm', account: 'demo' }]
  const reader = await makeClient(broker, 'reader-one', 'reader', grants)
  const monitor = await makeClient(broker, 'prometheus', 'monitor')
  const as = (key: string) => ({ authorization: `Bearer ${key}` })
  const first = await broker.get('/tokens/demo', as(reader))
  for (let nth = 0; nth < 9; nth += 1) await broker.get('/tokens/demo', as(reader))
  const etag = String(first.headers.get('etag'))
  t.equal((await broker.get('/tokens/demo', { ...as(reader), 'if-none-match': etag })).status, 304)
  t.equal((await broker.get('/tokens/other', as(reader))).status, 403)
  t.equal((await broker.get('/tokens/demo', as('amo_wrong'))).status, 401)

  const reads = 'amo_token_reads_total{result='
  const { text, value } = await scrape(broker)
  t.equal(value(`${reads}"served",outcome="done"}`), 10)
  t.equal(value(`${reads}"served",outcome="not_modified"}`), 1)
  t.equal(value(`${reads}"refused",outcome="forbidden"}`), 1)
  t.equal(value(`${reads}"refused",outcome="unauthorized"}`), 1)
  const [hits = 0, misses = 0] = ['hits', 'misses'].map((kind) => value(`amo_cache_${kind}_total`))
  t.equal(hits + misses, 11)
  t.ok(misses >= 1 && misses <= 3, `${misses} reads asked PostgreSQL`)
  t.notMatch(text, /reader-one|amo_client_token_reads_total/, 'no client is named')
  t.notMatch(text, /route="\/tokens\/:account"/, 'reads are not measured one by one')
  t.match(text, /route="\/tokens\/:account\/refresh",status="2xx"/)

  await t.test('the counts are the same after they were written to the audit', async (t) => {
    await until(async () => {
      const [row] = await query<{ times: number }>(
        databaseUrl,
        `select coalesce(sum(times), 0)::int as times from amo_audit where action = 'readToken'`,
      )
      return row?.times === 13
    })
    t.equal((await scrape(broker)).value(`${reads}"served",outcome="done"}`), 10)
  })

  await t.test('by client', async (t) => {
    const ofClient = 'amo_client_token_reads_total{client="reader-one",result='
    const shown = await scrape(broker, as(monitor))
    t.equal(shown.value(`${ofClient}"served"}`), 11)
    t.equal(shown.value(`${ofClient}"refused"}`), 1)
    t.equal(shown.value(`${ofClient}"unavailable"}`), 0, 'exists before its first read')
    t.equal(shown.types.has('amo_accounts'), true, 'with all others')
    for (const key of [reader, 'amo_wrong', 'Basic x']) {
      t.notMatch((await scrape(broker, as(key))).text, /reader-one/)
    }
  })

  await t.test('requests by route, method and class of the status', async (t) => {
    const { value } = await scrape(broker)
    const route = (labels: string) =>
      value(`amo_http_requests_total{listener="internal",${labels}}`)
    t.equal(route('method="POST",route="/clients",status="2xx"'), 2)
    t.equal(route('method="GET",route="/audit",status="5xx"'), 0)
    const unrouted = 'method="any",route="none",status="4xx"'
    t.equal(route(unrouted), 0)
    const heads = 'method="GET",route="/health/live",status="2xx"'
    const before = route(heads) ?? 0
    await fetch(`${broker.url}/health/live`, { method: 'HEAD' })
    await broker.get('/no/such/path?code=c0ffee')
    await fetch(`${broker.url}/tokens/%zz`)
    await sendBytes(broker.url, 'no HTTP')
    const after = await scrape(broker)
    const counted = (labels: string) =>
      after.value(`amo_http_requests_total{listener="internal",${labels}}`)
    t.equal(counted(unrouted), 3, 'also a URL that cannot be parsed, and other bytes')
    t.equal(counted(heads), before + 1, 'HEAD counts as GET')
    t.notMatch(after.text, /c0ffee|such|HEAD/)
  })
})

t.test('an integration that is removed leaves no series', async (t) => {
  const { broker, databaseUrl, sandbox } = await startBrokerWithSandbox(t, { connect: false })
  const headers = { authorization: `Bearer ${OPERATOR_KEY}` }
  const made = await ask(broker.url, 'PUT', '/integrations/second', headers, {
    provider: 'kommo',
    client_id: '33333333-3333-4333-8333-333333333333',
    client_secret: 'canary-second-secret',
    redirect_uri: `${broker.publicUrl}/integrations/kommo/oauth/callback`,
    sandbox_origin: sandbox.origin,
  })
  t.equal(made.status, 201)
  await query(databaseUrl, `update amo_integrations set "paceTokens" = -100`)
  const used = async () => (await scrape(broker)).value('amo_pace_used_ratio{integration="second"}')
  await until(async () => Number(await used()) > 1)
  t.equal((await ask(broker.url, 'DELETE', '/integrations/second', headers)).status, 200)
  // Some gauges come from the database, others from what the broker was notified of.
  const left = async () =>
    (await scrape(broker)).text
      .split('\n')
      .filter((line) => /"second"/.test(line) && !/_total|_count|_sum|_bucket/.test(line))
  let lines: string[] = []
  await until(
    async () => {
      lines = await left()
      return lines.length === 0
    },
    undefined,
    () => `left: ${lines.join()}`,
  )
})

t.test('onboardings by outcome: each end that docs/api.md lists', async (t) => {
  const outcomes = rowsOf(sectionOf(read('docs/api.md'), 'Onboarding outcomes'))
    .map(([code = '']) => code.replaceAll('`', ''))
    .filter((code) => !ONLY_ON_PAGES.includes(code))
  for (const code of outcomes) t.ok(ONBOARDING_ENDS.includes(code), code)

  const { broker } = await startBrokerWithSandbox(t)
  const ends = async (outcome: string) =>
    (await scrape(broker)).value(`amo_onboardings_total{outcome="${outcome}"}`)
  t.equal(await ends('connected'), 1, 'the account demo')
  const path = '/api/v1/integrations/amo-crm/callback'
  await fetch(`${broker.publicUrl}${path}?error=access_denied&state=x`, { redirect: 'manual' })
  t.equal(await ends('access_denied'), 1)
  t.equal(await ends('interrupted'), 0)
})

t.test('a token that dies before use_until is a broken promise if its grant lives', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  const { broker, sandbox } = stage
  const broken = async () => (await scrape(broker)).value('amo_promises_broken_total')
  const account = [...sandbox.world.directory.accounts.values()][0]
  if (account === undefined) throw new Error('no account')
  t.equal(await broken(), 0)

  const { body } = await broker.get('/tokens/demo')
  sandbox.world.grants.expire(account, ['access_token'])
  const answer = await broker.post('/tokens/demo/refresh', { generation: body.generation })
  t.ok(answer.body.generation > body.generation, 'rotated')
  await until(async () => (await broken()) === 1)

  await t.test('a grant that the customer revoked breaks none', async (t) => {
    sandbox.world.grants.revoke(account)
    await broker.post('/tokens/demo/refresh', { generation: answer.body.generation })
    await until(async () => (await stage.row()).status === 'reauth_required', 40_000)
    t.equal(await broken(), 1)
  })
})

t.test('a snapshot of the database', async (t) => {
  const { databaseUrl } = await createDatabaseWithAccounts(t, 4)
  const url = new Secret(databaseUrl)
  const database = openPostgres(url, url, pino({ level: 'silent' }))
  t.teardown(() => database.close())
  const snapshot = new DatabaseSnapshot(database)
  const first = snapshot.get()
  t.equal(snapshot.get(), first, 'scrapes at the same time share one query')
  const { accounts, ...rest } = await first
  t.same(accounts, [{ integration: 'amocrm', status: 'active', accounts: 4 }])
  t.match(rest, { unresolvedClaims: 0, inboxWaiting: 0, integrations: [{ nearExpiry: 0 }] })
  t.equal(snapshot.get(), first, 'and those of the next two seconds')

  await t.test('near expiry: in use, with a tenth of the life left', async (t) => {
    const nearExpiry = async (set: string) => {
      await query(
        databaseUrl,
        `update amo_tokens set "issuedAt" = now() - interval '10 hours',
           "expiresAt" = now() + interval '1 hour', "refreshAt" = now() - interval '1 hour',
           "nextAttemptAt" = now() - interval '1 hour'`,
      )
      await query(
        databaseUrl,
        `update amo_tokens set ${set} where "accountId" = (select min("accountId") from amo_tokens)`,
      )
      return (await new DatabaseSnapshot(database).get()).integrations[0]?.nearExpiry
    }
    t.equal(await nearExpiry('paused = false'), 4)
    t.equal(await nearExpiry(`"expiresAt" = now() + interval '2 hours'`), 3, 'fresh')
    t.equal(await nearExpiry('paused = true'), 3, 'paused')
    t.equal(await nearExpiry('paused = false, shadow = true'), 3, 'shadow')
    const idle = `shadow = false, "nextAttemptAt" = now() + interval '20 days'`
    t.equal(await nearExpiry(idle), 3, 'idle')
  })
})

t.test('the event loop: the time in which a read waits more than 10 ms', async (t) => {
  const registry = new Registry()
  let nowMs = 0
  let tick = () => {}
  const clock: Clock = {
    ...systemClock,
    nowMs: () => nowMs,
    every(_ms, callback) {
      tick = callback
      return () => {}
    },
  }
  new LoopWatch(registry, clock).start()
  for (const passedMs of [10, 11, 10, 500, 10]) {
    nowMs += passedMs
    tick()
  }
  const text = await registry.metrics()
  t.match(text, /amo_event_loop_watched_seconds_total 0\.541\n/)
  t.match(text, /amo_event_loop_blocked_seconds_total 0\.48\n/)
})

t.test('metrics: before the first echo, its age is that of the process', async (t) => {
  const registry = new Registry()
  registerStorageMetrics(registry, {
    database: { storage: new Storage(pino({ level: 'silent' })), pools: () => [] },
    heartbeat: { ageMs: () => Number.POSITIVE_INFINITY },
    redisWatch: null,
    responseJournal: { problem: () => null, openCount: 0 },
  })
  const text = await registry.getSingleMetricAsString('amo_echo_age_seconds')
  const seconds = Number(text.trim().split(' ').at(-1))
  t.ok(seconds > 0 && seconds <= performance.now() / 1000, text)
})

/** Sends bytes on a connection of its own, and waits for its end. */
async function sendBytes(url: string, bytes: string): Promise<void> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.resume()
  socket.end(`${bytes}\r\n\r\n`)
  await once(socket, 'close')
}
