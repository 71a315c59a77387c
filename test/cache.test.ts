import { pino } from 'pino'
import t, { type Test } from 'tap'
import { tokenAt } from '../src/accounts/sealed-tokens.ts'
import { Heartbeat } from '../src/db/heartbeat.ts'
import { openPostgres } from '../src/db/postgres.ts'
import type { Integration } from '../src/integrations/service.ts'
import { TokenAnswer } from '../src/tokens/answer.ts'
import { TokenCache } from '../src/tokens/cache.ts'
import { HeldToken } from '../src/tokens/held-token.ts'
import { KeyRing } from '../src/vault/key-ring.ts'
import { Secret } from '../src/vault/secret.ts'
import { ENCRYPTION_KEYS } from './support/broker.ts'

const KEY_RING = KeyRing.parse(ENCRYPTION_KEYS)
const KEY = { integration: 'amocrm', accountId: 1 }
const LONG_MS = 60_000

/** A heartbeat whose echoes the test makes; it asks no database. */
function heartbeatOf(t: Test, trustMs: number): Heartbeat {
  const nowhere = new Secret('postgres://127.0.0.1:1/none')
  const log = pino({ level: 'silent' })
  const database = openPostgres(nowhere, nowhere, log)
  t.teardown(() => database.close())
  return new Heartbeat(database, 'test', trustMs, log)
}

function tokenOf(generation: number, askedAtMs: number, token = 'token'): HeldToken {
  const later = new Date(Date.now() + LONG_MS)
  const row = {
    ...KEY,
    domain: 'a.amocrm.ru',
    apiDomain: null,
    kind: 'oauth' as const,
    status: 'active' as const,
    generation,
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
  return new HeldToken({ ...row, accessToken }, KEY_RING, askedAtMs)
}

t.test('a fill that began before a change was heard of is thrown away', async (t) => {
  const heartbeat = heartbeatOf(t, LONG_MS)
  heartbeat.onEcho(String(performance.now()))
  const cache = new TokenCache(heartbeat, 10)
  const fill = cache.beginFill()
  cache.onChange(KEY, 2)
  cache.endFill(fill, [tokenOf(1, fill.askedAtMs)])
  t.equal(cache.get(KEY), undefined, 'the row that it read may be the one from before')
  const next = cache.beginFill()
  cache.endFill(next, [tokenOf(2, next.askedAtMs)])
  t.match(cache.get(KEY), { generation: 2 })
})

t.test('a change removes what is held; one that is older does not', async (t) => {
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

t.test('without an echo nothing is served from memory as if it were known', async (t) => {
  const cache = new TokenCache(heartbeatOf(t, LONG_MS), 10)
  const fill = cache.beginFill()
  cache.endFill(fill, [tokenOf(1, fill.askedAtMs)])
  t.equal(cache.get(KEY), undefined)
  t.match(cache.getStale(KEY), { generation: 1 }, 'kept for when PostgreSQL cannot be asked')
})

t.test('after a gap all is asked for again', async (t) => {
  const heartbeat = heartbeatOf(t, LONG_MS)
  heartbeat.onEcho(String(performance.now()))
  const cache = new TokenCache(heartbeat, 10)
  const fill = cache.beginFill()
  cache.endFill(fill, [tokenOf(1, fill.askedAtMs)])
  t.match(cache.get(KEY), { generation: 1 })
  cache.onGap()
  t.equal(cache.get(KEY), undefined)
})

t.test('an answer is written in the encoding that its length was counted in', async (t) => {
  const integration = { sandboxOrigin: null } as Integration
  for (const [token, encoding] of [
    ['token', 'latin1'],
    ['to"ken\\', 'latin1'],
    ['жетон', 'utf8'],
  ] as const) {
    const held = tokenOf(1, 0, token)
    const answer = new TokenAnswer(held, integration, { nowMs: Date.now(), isStale: false })
    const written = Buffer.from(answer.body, answer.encoding)
    t.equal(answer.encoding, encoding)
    t.equal(JSON.parse(written.toString()).access_token, token)
    t.equal(answer.headers[answer.headers.indexOf('content-length') + 1], String(written.length))
  }
})
