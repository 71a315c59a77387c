import { pino } from 'pino'
import t, { type Test } from 'tap'
import { reachOf } from '../src/clients/caller.ts'
import { BatchedSelect } from '../src/db/batched-select.ts'
import { Heartbeat } from '../src/db/heartbeat.ts'
import { openPostgres } from '../src/db/postgres.ts'
import type { Select } from '../src/db/select.ts'
import { TokenCache } from '../src/tokens/cache.ts'
import { TokenLookup } from '../src/tokens/lookup.ts'
import { Secret } from '../src/vault/secret.ts'
import { query } from './support/database.ts'
import { createLedger, KEY } from './support/engine.ts'

const OPERATOR = {
  name: 'test',
  role: 'operator',
  reach: reachOf([]),
  keyId: null,
} as const

/** Creates a look-up on a new database, with an empty cache that is never trusted. */
async function createLookup(t: Test): Promise<{ lookup: TokenLookup; databaseUrl: string }> {
  const { databaseUrl, config } = await createLedger(t)
  const log = pino({ level: 'silent' })
  const url = new Secret(databaseUrl)
  const database = openPostgres(url, url, log)
  t.teardown(() => database.close())
  const cache = new TokenCache(new Heartbeat(database, 'test', 3_000, log), 10)
  const { keyRing } = config
  const knowsIntegration = () => true
  const lookup = new TokenLookup({ database, keyRing, cache, minRestMs: 0, knowsIntegration })
  return { lookup, databaseUrl }
}

t.test('fresh: a select in progress is not shared with later callers', async (t) => {
  const { lookup } = await createLookup(t)
  const underWay = lookup.fresh(KEY)
  const later = Array.from({ length: 20 }, () => lookup.fresh(KEY))
  const first = await underWay
  const rows = new Set(await Promise.all(later))
  t.match(first, KEY)
  t.equal(rows.size, 1, 'later callers share the next select')
  t.notOk(rows.has(first), 'which is not the one in progress')
})

t.test('concurrent misses of one name share one select', async (t) => {
  const { lookup } = await createLookup(t)
  const name = String(KEY.accountId)
  const found = await Promise.all(
    Array.from({ length: 50 }, () => lookup.byName(OPERATOR, name, undefined)),
  )
  t.equal(new Set(found.map(({ token }) => token)).size, 1, 'the same row')
})

/** A select by value whose results the test decides. */
function startedSelects() {
  const started: { values: unknown; end: PromiseWithResolvers<object[]> }[] = []
  const select: Select = async <Row extends object>(_statement: unknown, [values]: unknown[]) => {
    const end = Promise.withResolvers<object[]>()
    started.push({ values, end })
    return (await end.promise) as Row[]
  }
  const batched = new BatchedSelect<number, { id: number }>(
    select,
    { name: 'sample', text: '' },
    ({ id }) => id,
  )
  return { batched, started }
}

t.test('misses that arrive while two selects run share the next one', async (t) => {
  const { batched, started } = startedSelects()
  const found = [1, 2, 3, 4, 5].map((id) => batched.find(id))
  t.same(
    started.map(({ values }) => values),
    [[1], [2]],
  )
  started[0]?.end.resolve([{ id: 1 }])
  t.same(await found[0], [{ id: 1 }])
  await new Promise(setImmediate)
  t.same(started[2]?.values, [3, 4, 5])
  started[1]?.end.resolve([])
  started[2]?.end.resolve([{ id: 5 }, { id: 3 }, { id: 3 }])
  t.same(await Promise.all(found), [[{ id: 1 }], [], [{ id: 3 }, { id: 3 }], [], [{ id: 5 }]])
})

t.test('a select that fails rejects its own misses only', async (t) => {
  const { batched, started } = startedSelects()
  const found = [1, 2, 3].map((id) => batched.find(id))
  started[0]?.end.reject(new Error('first'))
  started[1]?.end.resolve([{ id: 2 }])
  await t.rejects(
    async () => {
      await found[0]
    },
    { message: 'first' },
  )
  t.same(await found[1], [{ id: 2 }])
  await new Promise(setImmediate)
  started[2]?.end.resolve([{ id: 3 }])
  t.same(await found[2], [{ id: 3 }])
})

t.test('misses of many accounts at once each get their own account', async (t) => {
  const { lookup, databaseUrl } = await createLookup(t)
  await query(
    databaseUrl,
    `insert into amo_tokens select other.* from amo_tokens t, generate_series(1, 30) n,
      lateral jsonb_populate_record(t, jsonb_build_object('accountId', 900 + n,
        'domain', 'many-' || n || '.amocrm.ru', 'generation', nextval('amo_generation'),
        'refreshTokenFingerprint', md5(n::text))) other`,
  )
  const accounts = await query<{ id: string; domain: string }>(
    databaseUrl,
    'select "accountId"::text as id, domain from amo_tokens order by "accountId"',
  )
  const names = accounts.flatMap(({ id, domain }) => [id, domain])
  const found = await Promise.all(names.map((name) => lookup.byName(OPERATOR, name, undefined)))
  t.same(
    found.map(({ token }) => token.domain),
    accounts.flatMap(({ domain }) => [domain, domain]),
  )
})
