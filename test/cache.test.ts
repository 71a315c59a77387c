import { pino } from 'pino'
import t, { type Test } from 'tap'
import { Heartbeat } from '../src/db/heartbeat.ts'
import { openPostgres } from '../src/db/postgres.ts'
import { TokenResponse } from '../src/http/tokens/token-response.ts'
import { TokenCache } from '../src/tokens/cache.ts'
import { CachedToken } from '../src/tokens/cached-token.ts'
import { KeyRing } from '../src/vault/key-ring.ts'
import { tokenAt } from '../src/vault/sealed-places.ts'
import { Secret } from '../src/vault/secret.ts'
import { ENCRYPTION_KEYS } from './support/broker.ts'

const KEY_RING = KeyRing.parse(ENCRYPTION_KEYS)
const KEY = { integration: 'amocrm', accountId: 1 }
const LONG_MS = 60_000

/** Returns a heartbeat whose echoes the test makes. It never reaches a database. */
function heartbeatOf(t: Test, trustMs: number): Heartbeat {
  const nowhere = new Secret('postgres://127.0.0.1:1/none')
  const log = pino({ level: 'silent' })
  const database = openPostgres(nowhere, nowhere, log)
  t.teardown(() => database.close())
  return new Heartbeat(database, 'test', trustMs, log)
}

function tokenOf(generation: number, askedAtMs: number, token = 'token'): CachedToken {
  const later = new Date(Date.now() + LONG_MS)
  const row = {
    ...KEY,
    domain: 'a.amocrm.ru',
    apiDomain: null,
    kind: 'oauth' as const,
    status: 'active' as const,
    generation,
    issuedAt: new Date(),
    expiresAt: later,
    refreshAt: later,
    nextAttemptAt: later,
    failedAttempts: 0,
    paused: false,
    shadow: false,
    accessDeadAt: null,
    lastErrorCode: null,
  }
  const accessToken = KEY_RING.seal(token, tokenAt(row, 'accessToken'))
  return new CachedToken({ ...row, accessToken }, KEY_RING, askedAtMs)
}

t.test('a fill that began before a change arrived is discarded', async (t) => {
  const heartbeat = heartbeatOf(t, LONG_MS)
  heartbeat.onEcho(String(performance.now()))
  const cache = new TokenCache(heartbeat, 10)
  const fill = cache.beginFill()
  cache.onChange(KEY, 2)
  cache.endFill(fill, [tokenOf(1, fill.askedAtMs)])
  t.equal(cache.get(KEY), undefined, 'it may have read the old row')
  const next = cache.beginFill()
  cache.endFill(next, [tokenOf(2, next.askedAtMs)])
  t.match(cache.get(KEY), { generation: 2 })
})

t.test('a change removes the cached token, an older change does not', async (t) => {
  const heartbeat = heartbeatOf(t, LONG_MS)
  heartbeat.onEcho(String(performance.now()))
  const cache = new TokenCache(heartbeat, 10)
  const fill = cache.beginFill()
  cache.endFill(fill, [tokenOf(2, fill.askedAtMs)])
  cache.onChange(KEY, 1)
  t.match(cache.get(KEY), { generation: 2 })
  cache.onChange(KEY, 3)
  t.equal(cache.get(KEY), undefined)
})

t.test('without an echo no token is served as fresh', async (t) => {
  const cache = new TokenCache(heartbeatOf(t, LONG_MS), 10)
  const fill = cache.beginFill()
  cache.endFill(fill, [tokenOf(1, fill.askedAtMs)])
  t.equal(cache.get(KEY), undefined)
  t.match(cache.getStale(KEY), { generation: 1 }, 'kept for when PostgreSQL cannot be asked')
})

t.test('after a gap every token is queried again', async (t) => {
  const heartbeat = heartbeatOf(t, LONG_MS)
  heartbeat.onEcho(String(performance.now()))
  const cache = new TokenCache(heartbeat, 10)
  const fill = cache.beginFill()
  cache.endFill(fill, [tokenOf(1, fill.askedAtMs)])
  t.match(cache.get(KEY), { generation: 1 })
  cache.onGap()
  t.equal(cache.get(KEY), undefined)
})

t.test('a token response is written in the encoding that its length was counted in', async (t) => {
  for (const [token, encoding] of [
    ['token', 'latin1'],
    ['to"ken\\', 'latin1'],
    ['жетон', 'utf8'],
  ] as const) {
    const response = new TokenResponse({
      token: tokenOf(1, 0, token),
      apiUrl: 'https://a.amocrm.ru',
      nowMs: Date.now(),
      useUntilMs: Date.now() + LONG_MS,
      isStale: false,
      warning: undefined,
    })
    const written = Buffer.from(response.body, response.encoding)
    t.equal(response.encoding, encoding)
    t.equal(JSON.parse(written.toString()).access_token, token)
    t.equal(response.length, written.length)
  }
})
