import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { Writable } from 'node:stream'
import { format, inspect } from 'node:util'
import pg from 'pg'
import { pino } from 'pino'
import t from 'tap'
import { KeyMissing, SealBroken } from '../src/lib/errors.ts'
import { serializeError } from '../src/lib/serialize-error.ts'
import { KeyRing, type SealedAt } from '../src/vault/key-ring.ts'
import { equalInConstantTime, KeyedHash } from '../src/vault/keyed-hash.ts'
import { Secret } from '../src/vault/secret.ts'
import { serverUrl } from './support/database.ts'

const CANARY = 'canary-value'
const AT: SealedAt = {
  table: 'amo_tokens',
  row: 'amocrm/30878000',
  column: 'accessToken',
  generation: 7,
}

const newKey = (id: string) => `${id}:${randomBytes(32).toString('base64')}`
const OLD = newKey('old')
const NEW = newKey('new')

t.test('KeyRing: a sealed value opens to the same value', async (t) => {
  const ring = KeyRing.parse(OLD)
  for (const value of ['', 'x', CANARY, 'юникод 🔑', 'x'.repeat(8_192), 'a.b:c,d']) {
    const opened = ring.open(ring.seal(value, AT), AT)
    t.ok(opened instanceof Secret)
    t.equal(opened.reveal(), value)
    t.equal(ring.open(ring.seal(new Secret(value), AT), AT).reveal(), value)
  }
  t.notMatch(ring.seal(CANARY, AT), CANARY)
})

t.test('KeyRing: the first key seals, every key opens', async (t) => {
  const before = KeyRing.parse(OLD)
  const added = KeyRing.parse(`${OLD},${NEW}`)
  const moved = KeyRing.parse(`${NEW},${OLD}`)
  const sealedBefore = before.seal(CANARY, AT)
  t.match(added.seal(CANARY, AT), /^old\./, 'a key that is added second seals nothing yet')
  t.match(moved.seal(CANARY, AT), /^new\./)
  t.equal(moved.open(sealedBefore, AT).reveal(), CANARY)
  t.equal(added.open(moved.seal(CANARY, AT), AT).reveal(), CANARY)
  t.same(moved.keyIds, ['new', 'old'])
})

t.test('KeyRing: a missing key is named (key_missing)', async (t) => {
  const sealed = KeyRing.parse(OLD).seal(CANARY, AT)
  const error = thrownBy(() => KeyRing.parse(NEW).open(sealed, AT))
  t.ok(error instanceof KeyMissing)
  t.match(error, { code: 'key_missing', keyId: 'old', statusCode: 503, message: /"old"/ })
})

t.test('KeyRing: the same id with another key does not open', async (t) => {
  const sealed = KeyRing.parse(OLD).seal(CANARY, AT)
  t.throws(() => KeyRing.parse(newKey('old')).open(sealed, AT), SealBroken)
})

t.test('KeyRing: no altered or shortened value opens', async (t) => {
  const ring = KeyRing.parse(OLD)
  const bytes = Buffer.from(ring.seal(CANARY, AT).slice('old.'.length), 'base64url')
  const opens = (changed: Buffer) => {
    try {
      ring.open(`old.${changed.toString('base64url')}`, AT)
      return true
    } catch (error) {
      if (error instanceof SealBroken) return false
      throw error
    }
  }
  t.ok(opens(bytes))
  const altered = Array.from(bytes, (byte, index) => {
    const copy = Buffer.from(bytes)
    copy[index] = byte ^ 1
    return copy
  })
  t.notOk(altered.some(opens), 'each byte of iv, text and tag')
  const shortened = Array.from(bytes, (_, length) => bytes.subarray(0, length))
  t.notOk(shortened.some(opens), 'cut off anywhere at the end')
  t.notOk(
    shortened.some((_, from) => from > 0 && opens(bytes.subarray(from))),
    'or at the start',
  )
  t.notOk(opens(Buffer.concat([bytes, Buffer.alloc(1)])), 'or made longer')
})

t.test('KeyRing: a value opens at its own place only, and the error names the place', async (t) => {
  const ring = KeyRing.parse(OLD)
  const sealed = ring.seal(CANARY, AT)
  for (const moved of [
    { table: 'amo_inbox' },
    { row: 'amocrm/30878001' },
    { row: 'kommo/30878000' },
    { column: 'refreshToken' },
    { generation: 8 },
    { generation: 0 },
    // Places that would be equal if their parts were only joined.
    { table: 'amo_tokens,"amocrm', row: '/30878000' },
    { row: 'amocrm/3087800', column: '0accessToken' },
  ]) {
    const error = thrownBy(() => ring.open(sealed, { ...AT, ...moved }))
    t.ok(error instanceof SealBroken, JSON.stringify(moved))
    t.notMatch(error, { message: CANARY })
  }
  const error = thrownBy(() => ring.open(sealed, { ...AT, column: 'refreshToken' }))
  t.match(error, { message: /amo_tokens\.refreshToken/ })
})

t.test('KeyRing: sealing a value twice gives different results', async (t) => {
  const ring = KeyRing.parse(OLD)
  const ivOf = (sealed: string) => Buffer.from(sealed.slice(4), 'base64url').subarray(0, 12)
  const seals = Array.from({ length: 1_000 }, () => ring.seal(CANARY, AT))
  t.equal(new Set(seals).size, seals.length)
  t.equal(new Set(seals.map((sealed) => ivOf(sealed).toString('hex'))).size, seals.length)
})

t.test('KeyRing: a value that was never sealed is not repeated by the error', async (t) => {
  const ring = KeyRing.parse(OLD)
  for (const plain of [
    CANARY,
    `${CANARY} `,
    `${CANARY}-${'x'.repeat(40)}.y`,
    `${CANARY}:1.x`,
    '',
  ]) {
    const error = thrownBy(() => ring.open(plain, AT))
    t.ok(error instanceof KeyMissing || error instanceof SealBroken)
    t.notMatch(inspect(error), /canary-valu/, JSON.stringify(plain))
  }
})

t.test('KeyRing: prints no key', async (t) => {
  const ring = KeyRing.parse(`${OLD},${NEW}`)
  const [, material = ''] = OLD.split(':')
  const hex = Buffer.from(material, 'base64').toString('hex').slice(0, 8)
  const printed = inspect(ring, { depth: 9, showHidden: true }) + JSON.stringify(ring)
  t.notOk(printed.includes(material) || printed.replaceAll(' ', '').includes(hex))
})

t.test('Secret: every conversion prints [secret]', async (t) => {
  const secret = new Secret(CANARY)
  const holder = { name: 'holder', secret, deep: { list: [secret] } }
  const printed = [
    String(secret),
    `${secret}`,
    // biome-ignore lint/style/useTemplate: this is one of the ways
    secret + '',
    [secret].join(),
    JSON.stringify(secret),
    JSON.stringify(holder),
    inspect(secret),
    inspect(holder, { depth: 9, showHidden: true, getters: true }),
    format('%s %o %O %j %s', secret, secret, secret, secret, holder),
    inspect(new Map([[secret, secret]])),
    inspect(new Error('failed', { cause: secret })),
    JSON.stringify({ ...secret }),
    JSON.stringify(Object.entries(secret)),
    JSON.stringify(structuredClone(secret)),
  ]
  for (const text of printed) t.notMatch(text, CANARY)
  for (const text of printed.slice(0, 7)) t.match(text, '[secret]')
  t.equal(secret.reveal(), CANARY)
})

t.test('Secret: console.log and pino print [secret]', async (t) => {
  const script = `
    import { Secret } from './src/vault/secret.ts'
    const secret = new Secret(process.env.VALUE)
    console.log(secret, { secret }, [secret])
    console.dir({ secret })
    console.table([{ secret }])
    console.error('%s %o', secret, { secret })
  `
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--input-type=module', '--eval', script],
    { env: { PATH: process.env.PATH, VALUE: CANARY }, encoding: 'utf8' },
  )
  t.match(stdout, /^\[secret\] \{ secret: \[secret\] \} \[ \[secret\] \]\n/)
  t.match(stderr, /\[secret\]/)
  t.notMatch(stdout + stderr, CANARY)
  const secret = new Secret(CANARY)
  const lines = logged((log) => {
    log.info({ secret, deep: { list: [secret] } }, 'held %s %j %o', secret, secret, secret)
    log.child({ secret }).info(secret, 'bound')
  })
  t.match(lines, '"secret":"[secret]"')
  t.notMatch(lines, CANARY)
})

t.test(
  'KeyedHash: stable over processes, different for each root, purpose and value',
  async (t) => {
    const root = new Secret(Buffer.alloc(32, 1).toString('base64'))
    const other = new Secret(Buffer.alloc(32, 2).toString('base64'))
    const purposes = ['fingerprint', 'connect-state', 'connect-link'] as const
    const all = [root, other].flatMap((secret) =>
      purposes.flatMap((purpose) =>
        ['a', 'b'].map((value) => new KeyedHash(() => secret, purpose).of(value)),
      ),
    )
    t.equal(new Set(all).size, 12)
    for (const hash of all) t.match(hash, /^[\w-]{43}$/)
    // Computed independently by RFC 5869 and RFC 2104. A change would lose every stored
    // fingerprint.
    t.equal(all[0], 'I8plm7kgqOG65IivEMzAOTmXiPIwEeRj_L7QVZk5h_w')
    const hash = new KeyedHash(() => root, 'fingerprint')
    t.equal(hash.of(new Secret('a')), all[0], 'of a Secret as of its text')
  },
)

t.test('KeyedHash: reads the root secret once, at its first use', async (t) => {
  let asked = 0
  const hash = new KeyedHash(() => {
    asked += 1
    return new Secret(Buffer.alloc(32, 1).toString('base64'))
  }, 'connect-link')
  t.equal(asked, 0)
  hash.of('a')
  hash.of('b')
  t.equal(asked, 1)
})

t.test('KeyedHash: matches its own hashes only', async (t) => {
  const hash = new KeyedHash(
    () => new Secret(Buffer.alloc(32, 1).toString('base64')),
    'fingerprint',
  )
  t.ok(hash.matches('a', hash.of('a')))
  for (const wrong of [hash.of('b'), hash.of('a').slice(1), '', `${hash.of('a')}=`]) {
    t.notOk(hash.matches('a', wrong))
  }
})

t.test('equalInConstantTime: true for equal texts only, of any length', async (t) => {
  t.ok(equalInConstantTime('', ''))
  t.ok(equalInConstantTime(CANARY, CANARY))
  for (const other of ['', 'c', `${CANARY} `, CANARY.toUpperCase(), 'x'.repeat(100_000), '\0']) {
    t.notOk(equalInConstantTime(CANARY, other))
  }
})

t.test('serializeError: omits the statement and values of a PostgreSQL error', async (t) => {
  const client = new pg.Client({ connectionString: serverUrl() })
  await client.connect()
  t.teardown(() => client.end())
  await client.query('create temporary table held (value text primary key)')
  await client.query('insert into held values ($1)', [CANARY])
  const error = await client.query('insert into held values ($1)', [CANARY]).catch((err) => err)
  t.match(error.detail, CANARY, 'pg itself tells the value')
  Object.assign(error, { query: `insert ${CANARY}`, parameters: [CANARY], client })
  const shown = serializeError(error)
  t.same(Object.keys(shown).sort(), ['code', 'message', 'stack', 'type'])
  t.match(shown, { type: 'error', code: '23505', message: /duplicate key/ })
  t.notMatch(JSON.stringify(shown), CANARY)
})

t.test('serializeError: only type, message, code, stack and cause, at any depth', async (t) => {
  const inner = Object.assign(new TypeError('inner'), {
    request: { headers: CANARY },
    code: 'E_IN',
  })
  const middle = Object.assign(new Error('middle', { cause: inner }), {
    response: CANARY,
    code: 42,
  })
  const outer = Object.assign(new AggregateError([new Error(CANARY)], 'outer', { cause: middle }), {
    config: CANARY,
  })
  const shown = serializeError(outer)
  t.match(shown, {
    type: 'AggregateError',
    message: 'outer',
    stack: /^AggregateError: outer\n/,
    cause: { type: 'Error', message: 'middle', cause: { type: 'TypeError', code: 'E_IN' } },
  })
  t.same(Object.keys(shown).sort(), ['cause', 'message', 'stack', 'type'])
  t.notOk('code' in (shown.cause ?? {}), 'a code that is no text')
  t.notMatch(JSON.stringify(shown), CANARY)
})

t.test('serializeError: hides thrown values that are not errors, and ends cycles', async (t) => {
  for (const thrown of [CANARY, { message: CANARY }, new Secret(CANARY), null, undefined, 1]) {
    t.same(serializeError(thrown), { type: typeof thrown, message: '' })
  }
  t.notMatch(JSON.stringify(serializeError(new Error('x', { cause: CANARY }))), CANARY)
  const circle = new Error('circle')
  circle.cause = circle
  t.ok(JSON.stringify(serializeError(circle)).length < 20_000)
})

t.test('serializeError: as the serializer of a log', async (t) => {
  const err = Object.assign(new Error('failed'), { detail: CANARY, parameters: [CANARY] })
  const lines = logged((log) => log.error({ err }, 'could not'))
  t.match(lines, '"message":"failed"')
  t.notMatch(lines, CANARY)
})

/** Returns the output of a log configured as in `src/http/run-broker.ts`. */
function logged(work: (log: pino.Logger) => void): string {
  let lines = ''
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines += chunk
      done()
    },
  })
  work(pino({ serializers: { err: serializeError } }, sink))
  return lines
}

function thrownBy(work: () => unknown): unknown {
  try {
    work()
  } catch (error) {
    return error
  }
  return undefined
}
