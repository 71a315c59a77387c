import { pino } from 'pino'
import t, { type Test } from 'tap'
import { reachOf } from '../src/clients/caller.ts'
import { Heartbeat } from '../src/db/heartbeat.ts'
import { openPostgres } from '../src/db/postgres.ts'
import { TokenCache } from '../src/tokens/cache.ts'
import { TokenLookup } from '../src/tokens/lookup.ts'
import { Secret } from '../src/vault/secret.ts'
import { createLedger, KEY } from './support/engine.ts'

const OPERATOR = { name: 'test', role: 'operator', reach: reachOf([]) } as const

/** A look-up on a database of its own, with an empty cache that nothing makes trustworthy. */
async function createLookup(t: Test): Promise<TokenLookup> {
  const { databaseUrl, config } = await createLedger(t)
  const log = pino({ level: 'silent' })
  const url = new Secret(databaseUrl)
  const database = openPostgres(url, url, log)
  t.teardown(() => database.close())
  const cache = new TokenCache(new Heartbeat(database, 'test', 3_000, log), 10)
  return new TokenLookup(database, config.keyRing, cache)
}

t.test(
  'a select under way is not shared with who asks for the row as it is from now on',
  async (t) => {
    const lookup = await createLookup(t)
    const underWay = lookup.fresh(KEY)
    const later = Array.from({ length: 20 }, () => lookup.fresh(KEY))
    const first = await underWay
    const rows = new Set(await Promise.all(later))
    t.match(first, KEY)
    t.equal(rows.size, 1, 'those who came meanwhile share the next one')
    t.notOk(rows.has(first), 'which is not the one that was under way')
  },
)

t.test('concurrent misses of one name share one select', async (t) => {
  const lookup = await createLookup(t)
  const name = String(KEY.accountId)
  const found = await Promise.all(
    Array.from({ length: 50 }, () => lookup.byName(OPERATOR, name, undefined)),
  )
  t.equal(new Set(found.map(({ held }) => held)).size, 1, 'the same row')
})
