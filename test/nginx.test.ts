import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setDefaultCACertificates } from 'node:tls'
import t, { type Test } from 'tap'
import { Agent, request } from 'undici'
import {
  CLIENT_ID,
  CLIENT_SECRET,
  connectAccount,
  startBroker,
  startSandbox,
} from './support/broker.ts'
import { type Certificates, makeCertificates } from './support/certificates.ts'
import { createDatabase } from './support/database.ts'
import { findNginx, startNginx } from './support/nginx.ts'
import { freePorts } from './support/ports.ts'

const nginx = findNginx()
const OTHER_CLIENT_ID = '22222222-2222-4222-8222-222222222222'
/** As `MAX_UNPROVEN` of the callback route. */
const MAX_UNPROVEN = 60
const SECRETS = ['canary', 'code=', 'state=', CLIENT_SECRET]

interface Installation {
  example: string
  amoPath: string
  kommoPath?: string
  /** Address of the site beside the broker. */
  site?: string
}

/** Starts a broker behind nginx, with the public listener at `https://localhost:port`. */
async function install(t: Test, binary: string, options: Installation) {
  const certificates = makeCertificates(t)
  setDefaultCACertificates([certificates.ca])
  const [internal = 0, open = 0, front = 0, other = 0] = await freePorts(4)
  const origin = `https://localhost:${front}`
  const redirectUri = origin + options.amoPath
  const sandbox = await startSandbox(t, {
    integrations: [
      { platform: 'amocrm', clientId: CLIENT_ID, clientSecret: CLIENT_SECRET, redirectUri },
    ],
  })
  const broker = await startBroker(t, {
    databaseUrl: await createDatabase(t),
    sandbox,
    ports: [internal, open],
    env: {
      AMO_REDIRECT_URI: redirectUri,
      TRUST_PROXY: '1',
      ...(options.kommoPath === undefined
        ? {}
        : {
            KOMMO_CLIENT_ID: OTHER_CLIENT_ID,
            KOMMO_CLIENT_SECRET: CLIENT_SECRET,
            KOMMO_REDIRECT_URI: origin + options.kommoPath,
            KOMMO_SANDBOX_ORIGIN: sandbox.origin,
          }),
    },
  })
  const base: [string, number] = ['amo-broker.conf', options.site === undefined ? front : other]
  const logs = await startNginx(t, {
    binary,
    files: options.site === undefined ? [base] : [base, [options.example, front]],
    certificate: certificates.server,
    addresses: {
      '127.0.0.1:3001': `127.0.0.1:${open}`,
      ...(options.site === undefined ? {} : { '127.0.0.1:8080': options.site }),
    },
  })
  return { broker, origin, redirectUri, logs, certificates }
}

/** A client with its own address. */
function clientAt(t: Test, address: string, { ca }: Certificates) {
  const agent = new Agent({ localAddress: address, connect: { ca } })
  t.teardown(() => agent.destroy())
  return async (url: string, headers: Record<string, string> = {}) => {
    const { statusCode, body } = await request(url, { dispatcher: agent, headers })
    await body.dump()
    return statusCode
  }
}

t.test('nginx, own host: consent to callback, no code in a log', { skip: skip() }, async (t) => {
  const { broker, origin, redirectUri, logs, certificates } = await install(t, nginx ?? '', {
    example: 'amo-broker.conf',
    amoPath: '/api/v1/integrations/amo-crm/callback',
  })
  await connectAccount(broker)
  t.equal((await broker.get('/tokens/demo')).status, 200)
  t.match(logs(), / GET \/connect\/:link 302 /)
  t.match(logs(), / GET \/api\/v1\/integrations\/amo-crm\/callback 303 /)
  t.match(logs(), / GET \/onboarding\/:id 200 /)

  const client = clientAt(t, '127.0.0.1', certificates)
  t.equal(await client(`${origin}/tokens/demo`), 404, 'the internal listener is not there')
  t.equal(await client(`${origin}/health/ready`), 404)

  await t.test('the address limit counts each client, whatever it claims to be', async (t) => {
    const caller = clientAt(t, '127.0.0.2', certificates)
    const call = (index: number) =>
      caller(`${redirectUri}?error=access_denied`, { 'x-forwarded-for': `10.0.0.${index}` })
    for (let index = 0; index < MAX_UNPROVEN; index += 1) t.not(await call(index), 429)
    t.equal(await call(MAX_UNPROVEN), 429)
    t.not(await clientAt(t, '127.0.0.3', certificates)(`${redirectUri}?error=access_denied`), 429)
  })

  await broker.stop()
  t.equal(await client(`${redirectUri}?code=canary&state=canary`), 502)
  for (const secret of SECRETS) t.notMatch(logs(), secret)
})

t.test(
  'nginx, existing site: the broker’s paths, the rest to the site',
  {
    skip: skip(),
  },
  async (t) => {
    const site = createServer((request, response) => response.end(`site ${request.url}`))
    await once(site.listen(0, '127.0.0.1'), 'listening')
    t.teardown(() => site.close())
    const { broker, origin, logs, certificates } = await install(t, nginx ?? '', {
      example: 'existing-site.conf',
      amoPath: '/crm/amo/callback',
      kommoPath: '/shop/callback',
      site: `127.0.0.1:${(site.address() as AddressInfo).port}`,
    })
    await connectAccount(broker)
    t.equal((await broker.get('/tokens/demo')).status, 200)
    t.equal(await (await fetch(`${origin}/crm/other`)).text(), 'site /crm/other')
    t.equal(await (await fetch(`${origin}/`)).text(), 'site /')
    const client = clientAt(t, '127.0.0.1', certificates)
    t.equal(await client(`${origin}/callback?error=access_denied`), 303, 'the prefix is put back')
    t.equal((await fetch(`${broker.publicUrl}/callback`)).status, 404, 'without it: no callback')
    for (const secret of SECRETS) t.notMatch(logs(), secret)
  },
)

function skip(): string | false {
  if (nginx !== undefined) return false
  if (process.env.CI) return false
  return 'nginx is not installed'
}
