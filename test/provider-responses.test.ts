import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  brotliCompressSync,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from 'node:zlib'
import t from 'tap'
import { call } from '../src/provider/call.ts'
import { probeAccessToken, probeRefreshToken } from '../src/provider/probe.ts'
import { type OAuthClient, profileOf } from '../src/provider/profiles.ts'
import { decodeRawBody, type RawBody } from '../src/provider/raw-body.ts'
import { smokeTest } from '../src/provider/smoke-test.ts'
import { findPair, requestTokens } from '../src/provider/token-endpoint.ts'
import { Secret } from '../src/vault/secret.ts'

const DAY_SECONDS = 86_400
const HOST = 'demo.amocrm.ru'
const GRANT = { grantType: 'refresh_token' as const, refreshToken: new Secret('spent') }

const jwt = (claims: object) =>
  `h.${Buffer.from(JSON.stringify({ account_id: 5, aud: 'id', ...claims })).toString('base64url')}.s`
const PAIR = {
  access_token: jwt({}),
  refresh_token: 'def502',
  expires_in: DAY_SECONDS,
  note: 'Ответ',
}

/** The next response of the server, and the headers of the last request. */
const next = { status: 200, headers: {} as Record<string, string>, body: Buffer.alloc(0) }
let asked: Record<string, unknown> = {}
const server = createServer((request, response) => {
  asked = request.headers
  response.writeHead(next.status, next.headers).end(next.body)
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
t.teardown(() => server.close())

const client: OAuthClient = {
  profile: profileOf('amocrm', {}),
  clientId: 'id',
  clientSecret: new Secret('canary'),
  redirectUri: 'https://broker.example/callback',
  sandboxOrigin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
}

function answer(body: Buffer | string, headers: Record<string, string> = {}, status = 200) {
  Object.assign(next, { status, headers, body: Buffer.from(body) })
}

const json = JSON.stringify(PAIR)
const account = JSON.stringify({ id: 5, domain: HOST })
const CODINGS: [string, (body: string) => Buffer][] = [
  ['gzip', (body) => gzipSync(body)],
  ['x-gzip', (body) => gzipSync(body)],
  ['GZIP', (body) => gzipSync(body)],
  ['deflate', (body) => deflateSync(body)],
  ['deflate', (body) => deflateRawSync(body)],
  ['br', (body) => brotliCompressSync(body)],
  ['zstd', (body) => zstdCompressSync(body)],
  ['gzip, br', (body) => brotliCompressSync(gzipSync(body))],
]

t.test('compressed responses are read at every call', async (t) => {
  for (const [coding, encode] of CODINGS) {
    const headers = { 'content-type': 'application/json', 'content-encoding': coding }
    const kept: string[] = []
    answer(encode(json), headers)
    const keep = (body: RawBody) => {
      kept.push(body.bytes.reveal(), decodeRawBody(body))
    }
    const tokens = await requestTokens(client, HOST, GRANT, { limitMs: 5_000, keep })
    t.match(tokens, { kind: 'pair', pair: { lifetimeSeconds: DAY_SECONDS } }, coding)
    t.same(kept, [encode(json).toString('base64'), json], 'the journal gets the bytes')
    t.equal(asked['accept-encoding'], 'identity', 'and none was asked for')
    answer(encode(account), headers)
    const alive = { state: 'alive', accountId: 5, domain: HOST }
    const at = { host: HOST, isApi: false }
    t.same(await probeRefreshToken(client, at, new Secret('x')), alive, coding)
    t.same(await probeAccessToken(client, HOST, new Secret('x')), alive, coding)
    const [first] = await smokeTest(client, HOST, new Secret('x'))
    t.match(first, { name: 'account', ok: true, accountId: 5 }, coding)
    answer(encode('{"hint":"Token has been revoked"}'), headers, 401)
    const refused = await requestTokens(client, HOST, GRANT, { limitMs: 5_000 })
    t.match(refused, { kind: 'refused', code: 'token_revoked' }, coding)
  }
})

t.test('charsets are decoded; the byte order mark decides first', async (t) => {
  const utf16 = Buffer.from(json, 'utf16le')
  for (const [charset, body] of [
    ['utf-16le', utf16],
    ['"UTF-16BE"', Buffer.from(utf16).swap16()],
    ['utf-8', Buffer.concat([Buffer.from([0xff, 0xfe]), utf16])],
    ['utf-8', Buffer.from(`\ufeff${json}`)],
    ['windows-1251', Buffer.from(json, 'latin1')],
    ['no-such-charset', Buffer.from(json)],
  ] as const) {
    answer(body, { 'content-type': `application/json; charset=${charset}` })
    const tokens = await requestTokens(client, HOST, GRANT, { limitMs: 5_000 })
    t.match(tokens, { kind: 'pair' }, charset)
  }
})

t.test('damaged and oversized bodies: bounded, and no pair is lost', async (t) => {
  const headers = { 'content-encoding': 'gzip' }
  const read = () =>
    call(client, { method: 'GET', url: `https://${HOST}/`, headers: {}, limitMs: 5_000 })
  answer(gzipSync(json).subarray(0, -9), headers)
  t.ok(findPair((await read()).body), 'the end is missing')
  answer(gzipSync(Buffer.alloc(200_000_000)), headers)
  t.ok((await read()).body.length <= 256 * 1024, 'a body that expands to 200 MB')
  answer(gzipSync(json + ' '.repeat(20_000_000)), headers)
  t.ok(findPair((await read()).body), 'a pair in front of 20 MB')
  answer(json, headers)
  t.ok(findPair((await read()).body), 'a header without a coding')
  answer(json, { 'content-encoding': 'compress' })
  t.ok(findPair((await read()).body), 'an unknown coding that was not applied')
  const bytes = Buffer.from([0x9d, 0xff, 0x00, 0x80])
  answer(bytes, { 'content-encoding': 'compress' })
  t.same(Buffer.from((await read()).body, 'latin1'), bytes, 'no byte of it is lost')
})

t.test('Retry-After: between one second and six hours', async (t) => {
  const date = 'Wed, 21 Oct 2026 07:28:00 GMT'
  for (const [value, expected] of [
    ['30', 30],
    ['0.2', 1],
    ['315360000', 21_600],
    ['99999999999999999999', 21_600],
    ['Wed, 21 Oct 2026 07:29:00 GMT', 60],
    ['Thu, 21 Oct 2027 07:28:00 GMT', 21_600],
    ['Wed, 21 Oct 2026 07:27:00 GMT', undefined],
    ['0', undefined],
    ['-5', undefined],
    ['soon', undefined],
    ['1e9', undefined],
  ] as const) {
    answer('', { 'retry-after': value, date }, 429)
    const refused = await requestTokens(client, HOST, GRANT, { limitMs: 5_000 })
    t.match(refused, { code: 'rate_limited', retryAfterSeconds: expected }, value)
  }
})

t.test('expires_in and exp: a value out of range never discards the pair', (t) => {
  const now = Math.floor(Date.now() / 1000)
  const lifetime = (expires_in: unknown, claims: object) =>
    findPair(JSON.stringify({ ...PAIR, access_token: jwt(claims), expires_in }))?.lifetimeSeconds
  const inADay = { iat: now, exp: now + DAY_SECONDS }
  for (const value of [0, -1, 30 * DAY_SECONDS + 1, 1e300, 'soon', '', null, {}, undefined]) {
    t.equal(lifetime(value, inADay), DAY_SECONDS, `expires_in ${value}: exp counts`)
  }
  t.equal(lifetime(30 * DAY_SECONDS, inADay), 30 * DAY_SECONDS)
  t.equal(lifetime('600', inADay), 600)
  t.equal(lifetime(null, { ...inADay, exp: now + 400 * DAY_SECONDS }), 30 * DAY_SECONDS)
  for (const exp of [now + 11 * 366 * DAY_SECONDS, 1e300, -1, 'never', null]) {
    t.equal(lifetime(null, { ...inADay, exp }), 3_600, `exp ${exp} is unknown`)
  }
  t.end()
})
