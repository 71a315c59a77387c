import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { Agent, fetch as undiciFetch } from 'undici'
import { isPublicAddress, isSandboxAddress } from '../src/lib/public-lookup.ts'
import { decodeAccessToken } from '../src/provider/access-token.ts'
import { call } from '../src/provider/call.ts'
import { type OAuthClient, profileOf } from '../src/provider/profiles.ts'
import { Secret } from '../src/vault/secret.ts'
import { OPERATOR_KEY, startBroker, until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { makeCertificates } from './support/certificates.ts'
import { runCli } from './support/cli.ts'
import { ask } from './support/clients.ts'
import { createDatabase, redisUrl } from './support/database.ts'
import { startTlsProxy } from './support/tls-proxy.ts'
import { underLoad } from './support/under-load.ts'

const GET = { method: 'GET', headers: {}, limitMs: 2_000 } as const

function client(allowedHosts: string, sandboxOrigin: string | null = null): OAuthClient {
  return {
    profile: profileOf('amocrm', { allowedHosts, siteHosts: [] }),
    clientId: 'id',
    clientSecret: new Secret('canary'),
    redirectUri: 'https://broker.example/callback',
    sandboxOrigin,
  }
}

/** Starts a server that counts its connections. */
async function listen(t: Test, server: ReturnType<typeof createServer>) {
  let connections = 0
  server.on('connection', () => {
    connections += 1
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  return { port, connections: () => connections }
}

t.test(
  'isPublicAddress: rejects addresses of this machine and of private or reserved networks',
  async (t) => {
    for (const address of [
      '127.0.0.1',
      '127.8.8.8',
      '10.1.2.3',
      '172.16.0.1',
      '172.31.255.255',
      '192.168.0.1',
      '169.254.169.254',
      '100.64.0.1',
      '0.0.0.0',
      '224.0.0.1',
      '255.255.255.255',
      '198.18.0.1',
      '::1',
      '::',
      '::ffff:127.0.0.1',
      '::ffff:10.0.0.1',
      '::ffff:a9fe:a9fe',
      '::7f00:1',
      'fe80::1',
      'fd00::1',
      'fc00::1',
      'ff02::1',
      '64:ff9b::7f00:1',
      '2001:db8::1',
      '2002:7f00:1::',
      '64:ff9b::a00:1',
      '64:ff9b::',
      '64:ff9b:1::808:808',
      '2001::1',
      '3fff::1',
      '4000::1',
      '5f00::1',
      'e000::1',
      'fec0::1',
      '100::1',
      '::ffff:0:8.8.8.8',
      '2a00:1450::1%eth0',
      '168.63.129.16',
      '240.0.0.1',
      'localhost',
      '',
      '1',
    ]) {
      t.notOk(isPublicAddress(address), address)
    }
    for (const address of [
      '8.8.8.8',
      '172.32.0.1',
      '::ffff:8.8.8.8',
      '2a00:1450::1',
      '100.128.0.1',
      '64:ff9b::6812:27e4',
      '64:ff9b::104.18.39.228',
      '2606:4700::1',
      '223.255.255.254',
    ]) {
      t.ok(isPublicAddress(address), address)
    }
  },
)

t.test('isSandboxAddress: this machine and public ones; private ones of the settings', (t) => {
  for (const address of ['127.0.0.1', '::1', '::ffff:127.0.0.1', '8.8.8.8', '2a00:1450::1']) {
    t.ok(isSandboxAddress(address, false), address)
  }
  for (const address of ['10.0.0.5', '172.18.0.3', '192.168.1.1', 'fd12::1', '64:ff9b::a00:1']) {
    t.notOk(isSandboxAddress(address, false), address)
    t.ok(isSandboxAddress(address, true), address)
  }
  for (const address of [
    '169.254.169.254',
    '169.254.1.1',
    'fe80::1',
    'fd00:ec2::254',
    '100.100.100.200',
    '168.63.129.16',
    '64:ff9b::a9fe:a9fe',
    '::ffff:169.254.169.254',
    '0.0.0.0',
    '::',
    '224.0.0.1',
  ]) {
    t.notOk(isSandboxAddress(address, true), address)
  }
  t.end()
})

t.test('decodeAccessToken: times out of range are unknown, the account stays readable', (t) => {
  const claimsOf = (times: object) => {
    const claims = { account_id: 1, aud: 'x', iat: 1_700_000_000, exp: 1_700_086_400, ...times }
    return decodeAccessToken(`x.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.x`)
  }
  t.match(claimsOf({}), { accountId: 1, expiresAtSeconds: 1_700_086_400 })
  const inElevenYears = Date.now() / 1000 + 11 * 365.25 * 86_400
  for (const exp of [1e300, -1, 253_402_300_800, inElevenYears, 'soon', null]) {
    t.match(claimsOf({ exp }), { accountId: 1, expiresAtSeconds: undefined }, `exp ${exp}`)
  }
  for (const iat of [1e300, -1e300, inElevenYears, 'now', null]) {
    t.match(claimsOf({ iat }), { accountId: 1, issuedAtSeconds: undefined }, `iat ${iat}`)
  }
  t.end()
})

t.test('outside calls: allowed hosts, https, public addresses, no redirect', async (t) => {
  const { server: pair } = makeCertificates(t)
  const inside = await listen(
    t,
    createTlsServer(pair, (_request, response) => response.end('inside')),
  )
  const refused = (url: string, allowed: string) => call(client(allowed), { ...GET, url })

  await t.test('a name that resolves to this machine gets no connection', async (t) => {
    const url = `https://localhost:${inside.port}/`
    const error = { code: 'ADDRESS_NOT_PUBLIC', wasWritten: false }
    await t.rejects(refused(url, `localhost:${inside.port}`), error)
    for (const host of ['127.0.0.1', '[::1]', '[::ffff:127.0.0.1]', '2130706433', '0x7f.1']) {
      await t.rejects(refused(`https://${host}:${inside.port}/`, '.*'), error, host)
    }
    t.equal(inside.connections(), 0)
  })

  await t.test('only hosts of the profile, matched as a whole, and no plain http', async (t) => {
    const error = { code: 'HOST_NOT_ALLOWED', wasWritten: false }
    const { allowedHosts } = profileOf('amocrm', {})
    for (const url of [
      'https://evil.example/',
      'https://demo.amocrm.ru.evil.example/',
      'https://evil.example/demo.amocrm.ru',
      'https://demo.amocrm.ru@evil.example/',
      'https://evil.example#.amocrm.ru',
      'https://a.b.amocrm.ru/',
      'https://demo.amocrm.ru:8443/',
      'https://demo.amocrm.com/',
      'http://demo.amocrm.ru/',
    ]) {
      await t.rejects(refused(url, allowedHosts), error, url)
    }
  })

  await t.test('a redirect is not followed', async (t) => {
    const target = await listen(
      t,
      createServer((_request, response) => response.end('target')),
    )
    const sandbox = await listen(
      t,
      createServer((_request, response) => {
        response.writeHead(302, { location: `http://127.0.0.1:${target.port}/` }).end()
      }),
    )
    const origin = `http://127.0.0.1:${sandbox.port}`
    const url = 'https://demo.amocrm.ru/oauth2/access_token'
    const answer = await call(client('demo\\.amocrm\\.ru', origin), { ...GET, url })
    t.equal(answer.status, 302)
    t.equal(target.connections(), 0)
    t.equal(sandbox.connections(), 1, 'a sandbox integration reaches only its sandbox')
  })
})

t.test('HTTP: headers, limits, slow clients', async (t) => {
  const { broker } = await startBrokerWithSandbox(t)
  const key = { authorization: `Bearer ${OPERATOR_KEY}` }

  await t.test(
    'no response may be cached, framed, sniffed, or read from another origin',
    async (t) => {
      const answers = [
        [broker.url, '/health/ready'],
        [broker.url, '/accounts'],
        [broker.url, '/nothing'],
        [broker.url, '/docs'],
        [broker.publicUrl, '/onboarding/00000000-0000-4000-8000-000000000000'],
        [broker.publicUrl, '/connect/nothing'],
        [broker.publicUrl, '/nothing'],
      ] as const
      for (const [url, path] of answers) {
        const headers = { ...key, origin: 'https://evil.example' }
        const answer = await ask(url, 'GET', path, headers)
        t.equal(answer.headers.get('cache-control'), 'no-store', path)
        t.equal(answer.headers.get('x-content-type-options'), 'nosniff', path)
        t.equal(answer.headers.get('x-frame-options'), 'DENY', path)
        t.match(answer.headers.get('content-security-policy'), /default-src/, path)
        t.equal(answer.headers.get('access-control-allow-origin'), null, path)
      }
      const docs = await ask(broker.url, 'GET', '/docs')
      t.match(docs.headers.get('content-security-policy'), /script-src 'self';/)
      t.notMatch(docs.body, /<script>|<script [^>]*>\s*[^<\s]/, 'the page has no inline script')
      const token = await ask(broker.url, 'GET', '/tokens/demo', key)
      const etag = String(token.headers.get('etag'))
      const forPrograms = [
        token,
        await ask(broker.url, 'GET', '/tokens/demo', { ...key, 'if-none-match': etag }),
        await ask(broker.url, 'POST', '/tokens/demo/refresh', key, {
          generation: token.body.generation,
        }),
        await ask(broker.url, 'GET', '/tokens/nobody', key),
      ]
      t.same(
        forPrograms.map(({ status }) => status),
        [200, 304, 200, 404],
      )
      for (const { status, headers } of forPrograms) {
        t.equal(headers.get('cache-control'), 'no-store', String(status))
        t.equal(headers.get('vary'), 'Authorization', String(status))
        t.equal(headers.get('x-content-type-options'), 'nosniff', String(status))
        t.notOk(headers.has('content-security-policy'), `${status}: only what protects JSON`)
        t.equal(headers.has('etag'), status < 400, `${status}: ETag`)
      }
    },
  )

  await t.test('400: impossible numbers and times', async (t) => {
    for (const [method, path, body] of [
      ['GET', '/audit?since=2016-12-31T23:59:60Z'],
      ['GET', '/onboardings?before=2016-12-31T23:59:60Z'],
      ['POST', '/connect-links/reconnect', { accounts: [1e300] }],
      ['POST', '/tokens/demo/refresh', { generation: 1e300 }],
    ] as const) {
      t.match(await ask(broker.url, method, path, key, body), { status: 400 }, path)
    }
    for (const since of ['0000-01-01T00:00:00Z', '2020-01-01T00:00:00%2B23:59']) {
      t.equal((await ask(broker.url, 'GET', `/audit?since=${since}`, key)).status, 200, since)
    }
    t.notMatch(broker.log(), /"level":[56]0/, 'no error was logged')
  })

  await t.test('413: a body that is too large', async (t) => {
    const large = await ask(broker.url, 'POST', '/clients', key, { name: 'x'.repeat(70_000) })
    t.match(large, { status: 413, body: { code: 'payload_too_large' } })
  })

  await t.test('a client that sends its request byte by byte is disconnected', async (t) => {
    const starts = [
      'GET /health/live HTTP/1.1\r\nhost: x\r\n',
      'POST /clients HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{',
    ]
    const ended = starts.flatMap((start) =>
      [broker.url, broker.publicUrl].map(async (url) => {
        const startMs = performance.now()
        const socket = connect(Number(new URL(url).port), '127.0.0.1')
        socket.write(start)
        const dripping = setInterval(
          () => socket.write(start.startsWith('GET') ? 'a: b\r\n' : ' '),
          1_000,
        )
        await text(socket).catch(() => {})
        clearInterval(dripping)
        return performance.now() - startMs
      }),
    )
    for (const ms of await Promise.all(ended)) t.ok(ms < underLoad(20_000), `${Math.round(ms)} ms`)
  })
})

t.test('public listener: requests are limited by the address that the proxy reports', async (t) => {
  const { broker } = await startBrokerWithSandbox(t, {
    connect: false,
    env: { TRUST_PROXY: 'true' },
  })
  const from = async (address: string) =>
    (await ask(broker.publicUrl, 'GET', '/connect/x', { 'x-forwarded-for': address })).status
  const statuses: number[] = []
  for (let asked = 0; asked < 620; asked += 20) {
    const batch = Array.from({ length: 20 }, async (_, index) => {
      // The client itself can write the left address, so it must not count.
      statuses.push(await from(`10.${asked}.${index}.1, 203.0.113.7`))
    })
    await Promise.all(batch)
  }
  t.equal(statuses.filter((status) => status === 404).length, 600)
  t.equal(statuses.filter((status) => status === 429).length, 20)
  t.equal(await from('203.0.113.8'), 404, 'another address')
  const refused = await ask(broker.publicUrl, 'GET', '/connect/x', {
    'x-forwarded-for': '203.0.113.7',
  })
  t.match(refused, { status: 429, body: /too_many_requests/ }, 'a page')
  t.ok(Number(refused.headers.get('retry-after')) > 0)
  t.notMatch(broker.log(), /onboarding page failed/, 'and no error is logged')
  t.equal((await ask(broker.publicUrl, 'GET', '/health/live')).status, 200)
  await Promise.all(Array.from({ length: 610 }, () => from('2a00:1450::1')))
  t.equal(await from('2a00:1450::ffff'), 429, 'a network of 64 bits counts as one address')

  const install = async (host: number) => {
    const headers = { 'x-forwarded-for': `2a00:1460::${host.toString(16)}` }
    const path = '/api/v1/integrations/amo-crm/callback?code=x&from_widget=1&referer=x'
    return (await ask(broker.publicUrl, 'GET', path, headers)).status
  }
  for (let host = 1; host <= 60; host += 1) t.equal(await install(host), 400)
  t.equal(await install(61), 429, 'callbacks without a state too')
})

/** What a probe or Prometheus reaches without a certificate. */
const PROBED = ['/health/live', '/health/ready', '/metrics']

t.test('internal listener over https, with client certificates', async (t) => {
  const { paths } = JSON.parse(readFileSync('openapi/openapi.json', 'utf8'))
  const { server, client: pair, ca, caFile } = makeCertificates(t)
  const env = {
    INTERNAL_TLS_CERT: server.certFile,
    INTERNAL_TLS_KEY: server.keyFile,
    INTERNAL_TLS_CLIENT_CA: caFile,
  }
  const broker = await startBroker(t, {
    databaseUrl: await createDatabase(t),
    env,
    isReady: (log) => log.includes('broker ready'),
  })
  const url = broker.url.replace('http:', 'https:')
  const get = async (connectOptions: object, path = '/accounts', method = 'GET') => {
    const dispatcher = new Agent({ connect: connectOptions })
    t.teardown(() => dispatcher.destroy())
    const headers = { authorization: `Bearer ${OPERATOR_KEY}` }
    return undiciFetch(url + path, { method, headers, dispatcher }).then(
      ({ status }) => status,
      () => 'no connection',
    )
  }
  t.equal(await get({ ca, cert: pair.cert, key: pair.key }), 200)
  const foreign = makeCertificates(t).client
  for (const without of [{ ca }, { ca, cert: foreign.cert, key: foreign.key }]) {
    for (const [path, item] of Object.entries<object>(paths)) {
      for (const method of Object.keys(item)) {
        const isOpen = PROBED.includes(path)
        const status = await get(without, path.replaceAll(/[{}]/g, ''), method.toUpperCase())
        t.equal(status, isOpen ? 200 : 401, `${method} ${path} without a certificate of ours`)
      }
    }
    for (const path of ['/nowhere', '/docs', '/openapi.json', '/metrics/x']) {
      t.equal(await get(without, path), 401, path)
    }
  }
  t.equal(
    await fetch(`${broker.url}/health/live`).catch(() => 'no connection'),
    'no connection',
    'plain http',
  )
  const cli = { BROKER_URL: url, BROKER_KEY: OPERATOR_KEY, NODE_EXTRA_CA_CERTS: caFile }
  const known = { ...cli, BROKER_CLIENT_CERT: pair.certFile, BROKER_CLIENT_KEY: pair.keyFile }
  t.match(await runCli(['accounts', 'list'], known), { code: 0, out: 'no accounts\n' })
  t.match(await runCli(['accounts', 'list'], cli), {
    code: 1,
    err: /requires a client certificate/,
  })
  t.equal(
    (await fetch(`${broker.publicUrl}/health/live`)).status,
    200,
    'the public listener still uses plain http',
  )
})

t.test('PostgreSQL and Redis over TLS, by URL', async (t) => {
  const certificates = makeCertificates(t)
  const databaseUrl = await createDatabase(t)
  const postgres = await startTlsProxy(t, new URL(databaseUrl), certificates)
  const redis = await startTlsProxy(t, new URL(redisUrl()), certificates)
  const secure = new URL(databaseUrl)
  secure.host = `127.0.0.1:${postgres.port}`
  secure.searchParams.set('sslmode', 'verify-full')
  secure.searchParams.set('sslrootcert', certificates.caFile)
  const broker = await startBroker(t, {
    databaseUrl: secure.href,
    redis: `rediss://127.0.0.1:${redis.port}`,
    deploymentId: 'over-tls',
    env: { NODE_EXTRA_CA_CERTS: certificates.caFile },
  })
  await until(async () => (await broker.get('/health/ready')).body.status === 'ok')
  t.ok(postgres.secured > 1 && redis.secured > 0, `${postgres.secured}, ${redis.secured}`)

  await t.test('a server with an unknown certificate gets no connection', async (t) => {
    const other = makeCertificates(t)
    secure.searchParams.set('sslrootcert', other.caFile)
    const before = await fetch(`${broker.url}/health/ready`)
    t.equal(before.status, 200)
    const distrustful = await startBroker(t, {
      databaseUrl: secure.href,
      deploymentId: 'over-tls',
      isReady: (log) => log.includes('PostgreSQL does not answer yet'),
    })
    t.equal((await distrustful.get('/health/ready')).status, 503)
    t.equal((await distrustful.get('/tokens/demo')).status, 503)
  })
})
