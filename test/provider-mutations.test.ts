import { brotliCompressSync, gzipSync } from 'node:zlib'
import t from 'tap'
import { connectAccount, until } from './support/broker.ts'
import { assertPresentedOnce, startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { type ProxiedResponse, startMutatingProxy } from './support/mutating-proxy.ts'

const TOKEN_PATH = '/oauth2/access_token'
const YEARS = 315_360_000
const OPAQUE = 'opaque'.repeat(20)

const compressed =
  (coding: string, encode: (body: Buffer) => Buffer) =>
  ({ status, headers, body }: ProxiedResponse): ProxiedResponse => ({
    status,
    headers: { ...headers, 'content-encoding': coding },
    body: encode(body),
  })

t.test('a proxy in front of the provider changes its responses', async (t) => {
  const proxy = await startMutatingProxy(t)
  const stage = await startBrokerWithSandbox(t, {
    connect: false,
    env: { AMO_SANDBOX_ORIGIN: proxy.origin, SETTLE_MS: '100' },
  })
  const { broker, sandbox } = stage
  proxy.leadTo(sandbox.origin)

  await t.test('POST access_token with a code, compressed: the account is connected', async (t) => {
    proxy.mutateNext(TOKEN_PATH, compressed('gzip', gzipSync))
    await connectAccount(broker)
    t.ok(proxy.isDone(), 'the response was compressed')
    t.match(await stage.row(), { status: 'active', lastErrorCode: null })
  })

  await t.test(
    'POST access_token with a refresh token, compressed: the pair is stored',
    async (t) => {
      for (const change of [compressed('gzip', gzipSync), compressed('br', brotliCompressSync)]) {
        const { generation } = await stage.row()
        proxy.mutateNext(TOKEN_PATH, change)
        await stage.makeDue()
        await until(async () => Number((await stage.row()).generation) > Number(generation), 20_000)
        t.ok(proxy.isDone(), 'the response was compressed')
        t.match(await stage.row(), { status: 'active', lastErrorCode: null })
        const { body } = await broker.get('/tokens/demo')
        t.equal(sandbox.world.grants.findAccess(body.access_token)?.state, 'live')
      }
      t.notMatch(broker.log(), /unreadable_answer/)
    },
  )

  await t.test(
    '429 with a Retry-After of ten years: next attempt after six hours, with jitter',
    async (t) => {
      proxy.answerNext(TOKEN_PATH, {
        status: 429,
        headers: { 'retry-after': String(YEARS), 'content-type': 'text/plain' },
        body: Buffer.from('Too Many Requests'),
      })
      await stage.makeDue()
      await until(async () => (await stage.row()).lastErrorCode === 'rate_limited', 20_000)
      const { nextAttemptAt, status } = await stage.row()
      const waitMs = new Date(String(nextAttemptAt)).getTime() - Date.now()
      // The backoff's jitter is a quarter.
      t.ok(waitMs > 60_000 && waitMs <= 1.25 * 6 * 3_600_000, `waits ${waitMs} ms`)
      t.equal(status, 'active')
      t.ok(
        (await stage.attempts()).every(({ outcome }) => outcome !== null),
        'it is finished',
      )
    },
  )

  await t.test('expires_in and exp out of range: the pair is stored', async (t) => {
    const { generation } = await stage.row()
    proxy.mutateNext(TOKEN_PATH, ({ status, headers, body }) => ({
      status,
      headers,
      body: Buffer.from(JSON.stringify({ ...JSON.parse(String(body)), expires_in: 1e300 })),
    }))
    await stage.makeDue()
    await until(async () => Number((await stage.row()).generation) > Number(generation), 20_000)
    const { expiresAt } = await stage.row()
    const leftMs = new Date(String(expiresAt)).getTime() - Date.now()
    t.ok(leftMs <= 30 * 86_400_000, `lives ${leftMs} ms`)
  })

  await t.test(
    'POST /accounts/import: the expiry of a long-lived token is not guessed',
    async (t) => {
      const { accountId = 0 } = sandbox.world.addAccount({
        platform: 'amocrm',
        subdomain: 'private',
      })
      const order = { integration: 'amocrm', domain: 'private', access_token: OPAQUE }
      const importWith = (fields: object) => {
        const body = Buffer.from(JSON.stringify({ id: accountId, domain: 'private.amocrm.ru' }))
        const headers = { 'content-type': 'application/json' }
        proxy.answerNext('/api/v4/account', { status: 200, headers, body })
        return broker.post('/accounts/import', { ...order, ...fields })
      }
      const refused = await importWith({})
      t.match(refused, { status: 422, body: { code: 'import_refused', reason: 'expiry_unknown' } })
      const expires_at = new Date(Date.now() + 400 * 86_400_000).toISOString()
      t.match(await importWith({ expires_at }), { status: 201, body: { kind: 'long_lived' } })
      t.match((await broker.get('/tokens/private')).body, { access_token: OPAQUE, expires_at })
    },
  )

  assertPresentedOnce(t, stage)
})
