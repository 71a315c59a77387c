import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { openPostgres } from '../src/db/postgres.ts'
import { Integrations } from '../src/integrations/directory.ts'
import { PROFILES } from '../src/provider/profile-table.ts'
import { KeyRing } from '../src/vault/key-ring.ts'
import { Secret } from '../src/vault/secret.ts'
import {
  ENCRYPTION_KEYS,
  OPERATOR_KEY,
  startBroker,
  type TestBroker,
  until,
} from './support/broker.ts'
import { type BrokerWithSandbox, startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { ask, makeClient } from './support/clients.ts'
import { query } from './support/database.ts'
import { makeEndpoint, PRIVATE } from './support/endpoints.ts'

// What somebody who can write the database can do, and what a kill leaves of an operator's act.

const key = { authorization: `Bearer ${OPERATOR_KEY}` }
const INSTALLER = [{ integration: 'amocrm', account: 'demo' }]

/** A host of the attacker. Returns what it received. */
async function startAttacker(t: Test) {
  const received: string[] = []
  const server = createServer((request, response) => {
    request.setEncoding('utf8')
    let text = `${request.method} ${request.url} `
    request.on('data', (chunk) => {
      text += chunk
    })
    request.on('end', () => {
      received.push(text)
      response.end('{}')
    })
  }).listen(0, '127.0.0.1')
  await new Promise((listening) => server.once('listening', listening))
  t.teardown(() => server.close())
  return { received, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

const degraded = async (broker: TestBroker): Promise<string[]> =>
  (await broker.get('/health/ready')).body.degraded

t.test('writing amo_integrations does not reveal what is sealed', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  const { broker, databaseUrl, sandbox } = stage
  const attacker = await startAttacker(t)
  const healthy = `update amo_integrations set provider = 'amocrm', "clientId" = $1, "redirectUri" = $2,
    "sandboxOrigin" = $3, profile = '{}' where name = 'amocrm'`
  const [original] = await query(
    databaseUrl,
    `select "clientId", "redirectUri", "sandboxOrigin" from amo_integrations where name = 'amocrm'`,
  )
  const restore = async () => {
    const { clientId, redirectUri, sandboxOrigin } = original ?? {}
    await query(databaseUrl, healthy, [clientId, redirectUri, sandboxOrigin])
    await until(async () => !(await degraded(broker)).join().includes('amocrm: altered'))
    const resumed = await broker.post('/integrations/amocrm/resume', undefined)
    t.equal(resumed.status, 200)
  }
  const calls = () => sandbox.world.books.totals.tokenCalls
  const refreshed = async () => {
    const { generation } = await stage.row()
    await stage.makeDue()
    await until(async () => (await stage.row()).generation !== generation)
  }

  for (const [field, change] of [
    ['sandboxOrigin', `"sandboxOrigin" = '${attacker.origin}'`],
    ['provider', `provider = 'kommo'`],
    ['clientId', `"clientId" = 'another'`],
    ['redirectUri', `"redirectUri" = '${attacker.origin}/callback'`],
    ['token URL', `profile = '{"tokenUrl": "https://{domain}/elsewhere"}'`],
    ['authorize URL', `profile = '{"authorizeUrl": "${attacker.origin}/oauth"}'`],
    ['parameters', `profile = '{"authorizeParameters": {"redirect_uri": "${attacker.origin}"}}'`],
    ['encoding', `profile = '{"encoding": "form"}'`],
    ['scopes', `profile = '{"scopes": ["x"]}'`],
    ['probe', `profile = '{"probe": "none"}'`],
  ] as const) {
    await t.test(`${field}: nothing is sent, and readiness names it`, async (t) => {
      const before = calls()
      const { generation } = await stage.row()
      await query(databaseUrl, `update amo_integrations set ${change} where name = 'amocrm'`)
      await until(async () => (await degraded(broker)).join().includes('amocrm: altered'))
      await stage.makeDue()
      await ask(broker.url, 'POST', '/tokens/demo/refresh', key, { force: true })
      const link = await broker.post('/connect-links', { integration: 'amocrm' })
      const path = new URL(link.body.url).pathname
      const opened = await ask(broker.publicUrl, 'GET', path)
      t.not(opened.status, 302, 'no consent page')
      t.equal(calls(), before)
      t.same(attacker.received, [])
      t.equal((await stage.row()).status, 'active')
      await restore()
      // The account is still due. A refresh that began later would count in the next round.
      await until(async () => (await stage.row()).generation !== generation)
    })
  }

  await t.test('a field of the profile that is not documented has no effect', async (t) => {
    const hosts = `{"allowedHosts": ".*", "siteHosts": ["127.0.0.1"], "zones": ["evil.example"]}`
    await query(databaseUrl, `update amo_integrations set profile = $1`, [hosts])
    await refreshed()
    t.same(attacker.received, [])
    const url = new Secret(databaseUrl)
    const log = pino({ level: 'silent' })
    const database = openPostgres(url, url, log)
    t.teardown(() => database.close())
    const integrations = new Integrations(database, KeyRing.parse(ENCRYPTION_KEYS), log)
    await integrations.reload()
    const { allowedHosts, siteHosts, zones } = integrations.get('amocrm').profile
    const { amocrm } = PROFILES
    t.same([allowedHosts, siteHosts, zones], [amocrm.allowedHosts, amocrm.siteHosts, amocrm.zones])
  })

  await t.test('a change of other columns keeps it working', async (t) => {
    await query(databaseUrl, `update amo_integrations set "acceptsInstalls" = true, profile = '{}'`)
    await refreshed()
    t.notMatch((await degraded(broker)).join(), /altered/)
  })

  await t.test('PUT: exactly the settings that it had restore it, others do not', async (t) => {
    await query(databaseUrl, `update amo_integrations set "sandboxOrigin" = $1`, [attacker.origin])
    await until(async () => (await degraded(broker)).join().includes('amocrm: altered'))
    const { clientId: client_id, redirectUri: redirect_uri, sandboxOrigin } = original ?? {}
    const settings = { provider: 'amocrm', client_id, redirect_uri, accepts_installs: true }
    const put = (sandbox_origin: unknown) =>
      ask(broker.url, 'PUT', '/integrations/amocrm', key, { ...settings, sandbox_origin })
    t.equal((await put(attacker.origin)).status, 400, 'the altered ones are not signed')
    t.equal((await put(sandboxOrigin)).status, 200)
    await until(async () => !(await degraded(broker)).join().includes('amocrm: altered'))
    t.equal((await broker.post('/integrations/amocrm/resume', undefined)).status, 200)
    await refreshed()
    t.same(attacker.received, [])
  })

  await t.test('a start applies the environment over an altered row', async (t) => {
    await broker.stop()
    await query(databaseUrl, `update amo_integrations set "sandboxOrigin" = $1`, [attacker.origin])
    const port = Number(new URL(broker.publicUrl).port)
    const again = await startBroker(t, { databaseUrl, sandbox, ports: [await internal(), port] })
    t.match(again.log(), /altered integration restored from environment/)
    t.notMatch((await degraded(again)).join(), /altered in the database, nothing/)
    t.equal((await again.get('/integrations/amocrm')).body.sandbox_origin, sandbox.origin)
    t.same(attacker.received, [])
  })
})

async function internal(): Promise<number> {
  const { freePorts } = await import('./support/ports.ts')
  return (await freePorts(1))[0] ?? 0
}

t.test('a client opens what the broker gave it, whatever the table says', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t)
  const reader = await makeClient(broker, 'reader', 'reader', INSTALLER)
  const reads = async (token: string) =>
    (await ask(broker.url, 'GET', '/tokens/demo', { authorization: `Bearer ${token}` })).status
  t.equal(await reads(reader), 200)

  for (const [what, statement] of [
    [
      'a hash that was moved to another client',
      `update amo_clients set keys = case name when 'weak' then '[]'
         else (select keys from amo_clients where name = 'weak') end where name in ('weak', 'strong')`,
    ],
    ['a role', `update amo_clients set role = 'operator' where name = 'weak'`],
    [
      'a grant',
      `update amo_clients set grants = '[{"integration": "amocrm", "accountId": null}]'
       where name = 'weak'`,
    ],
    [
      'a later expiry',
      `update amo_clients set keys = jsonb_set(keys, '{0,expiresAt}', 'null')
       where name = 'weak'`,
    ],
    ['a name', `update amo_clients set name = 'stronger' where name = 'weak'`],
  ] as const) {
    await t.test(`${what}: 401`, async (t) => {
      const order = { name: 'weak', role: 'reader', grants: [], expires_in_days: 1 }
      const { body } = await broker.post('/clients', order)
      await makeClient(broker, 'strong', 'operator')
      t.equal(await reads(body.key), 403)
      await query(databaseUrl, statement)
      await until(async () => (await reads(body.key)) === 401, 5_000)
      t.match(broker.log(), /client altered in the database/)
      await query(
        databaseUrl,
        `delete from amo_clients where name in ('weak', 'strong', 'stronger')`,
      )
    })
  }

  await t.test('PUT /clients/:client/grants does not sign what was altered', async (t) => {
    const weak = await makeClient(broker, 'weak', 'reader')
    await query(databaseUrl, `update amo_clients set role = 'operator' where name = 'weak'`)
    const put = await ask(broker.url, 'PUT', '/clients/weak/grants', key, { grants: [] })
    t.equal(put.status, 404)
    t.equal(await reads(weak), 401)
    t.equal(
      (await ask(broker.url, 'DELETE', '/clients/weak', key)).status,
      204,
      'it can be revoked',
    )
  })

  await t.test('409: names that the audit uses for other actors', async (t) => {
    for (const name of ['database', 'operator', 'broker', 'nobody', 'system']) {
      const { status } = await broker.post('/clients', { name, role: 'reader', grants: [] })
      t.equal(status, 409, name)
      const insert = query(
        databaseUrl,
        `insert into amo_clients (name, role, mac) values ($1, 'reader', '')`,
        [name],
      )
      await t.rejects(insert, { code: '23514' }, name)
    }
  })
})

t.test('grants end with their integration', async (t) => {
  const { broker, databaseUrl, sandbox } = await startBrokerWithSandbox(t)
  const order = {
    provider: 'amocrm',
    client_id: 'second',
    client_secret: 'secret',
    redirect_uri: `${broker.publicUrl}/second`,
    sandbox_origin: sandbox.origin,
  }
  const put = () => ask(broker.url, 'PUT', '/integrations/second', key, order)
  const grantsOf = async (name: string) => {
    const { clients } = (await broker.get('/clients')).body
    return clients.find((each: { name: string }) => each.name === name).grants
  }
  const both = [...INSTALLER, { integration: 'second', account: '*' }]

  for (const [way, remove] of [
    ['DELETE', () => ask(broker.url, 'DELETE', '/integrations/second', key)],
    ['psql', () => query(databaseUrl, `delete from amo_integrations where name = 'second'`)],
  ] as const) {
    await t.test(`removed by ${way} and created again`, async (t) => {
      t.equal((await put()).status, 201)
      const name = `reader-${way.toLowerCase()}`
      const client = await makeClient(broker, name, 'reader', both)
      await remove()
      await until(async () => (await broker.get('/integrations/second')).status === 404)
      t.equal((await put()).status, 201)
      const grants = await grantsOf(name)
      t.equal(grants.length, 1)
      t.equal(grants[0].integration, 'amocrm')
      const read = await ask(broker.url, 'GET', '/tokens/demo', {
        authorization: `Bearer ${client}`,
      })
      t.equal(read.status, 200, 'the other grant still holds')
      await ask(broker.url, 'DELETE', '/integrations/second', key)
    })
  }
})

/** The state that operators change, besides what the broker changes by itself. */
async function stateOf(databaseUrl: string): Promise<string> {
  const parts = []
  for (const statement of [
    `select "accountId", status, "approvedAt", paused, shadow, domain from amo_tokens order by 1`,
    `select name, "clientId", "redirectUri", state, "nextClientSecret" is null, "acceptsInstalls"
     from amo_integrations order by 1`,
    `select name, role, keys, grants, "revokedAt" from amo_clients order by 1`,
    'select id from amo_connect_links order by 1',
    'select id from amo_inbox order by 1',
    'select id from amo_exchanges order by 1',
    'select * from amo_removals order by 1',
    'select integration, "accountId", label from amo_account_labels order by 1, 2',
    'select count(*) from amo_sign_in_links',
    'select name, state, types, "signingSecret" from amo_endpoints order by 1',
    `select id from amo_events where type = 'endpoint.test'`,
    `select id, state from amo_deliveries where "eventIds" = '{}'`,
  ]) {
    parts.push(JSON.stringify(await query(databaseUrl, statement)))
  }
  return createHash('sha256').update(parts.join()).digest('hex')
}

/** Nothing listens there. */
const NOWHERE = 'http://127.0.0.1:1/'

type Route = [operationId: string, method: string, path: string, body?: object]

interface OperatorTargets {
  delivery: number
  link: string
  left: { integration: string; account_id: number }
}

function operatorRoutes(
  { broker, sandbox }: BrokerWithSandbox,
  keyId: string,
  { delivery, link, left }: OperatorTargets,
): Route[] {
  const integration = {
    provider: 'amocrm',
    client_id: 'new',
    client_secret: 'secret',
    redirect_uri: `${broker.publicUrl}/new`,
    sandbox_origin: sandbox.origin,
  }
  return [
    ['pauseAccount', 'POST', '/accounts/demo/pause'],
    ['resumeAccount', 'POST', '/accounts/paused/resume'],
    ['approveAccount', 'POST', '/accounts/pending/approve'],
    ['takeAccountOver', 'POST', '/accounts/shadow/take-over'],
    ['checkAccount', 'POST', '/accounts/demo/check'],
    [
      'exchangeCode',
      'POST',
      '/accounts/exchange-code',
      {
        integration: 'amocrm',
        domain: 'demo',
        code: 'c'.repeat(60),
      },
    ],
    [
      'exchangeApiKey',
      'POST',
      '/accounts/exchange-api-key',
      {
        integration: 'amocrm',
        domain: 'demo',
        login: 'a@example.com',
        api_key: 'k'.repeat(40),
      },
    ],
    ['createButton', 'POST', '/buttons', { integration: 'amocrm' }],
    ['createConnectLink', 'POST', '/connect-links', { integration: 'amocrm' }],
    ['withdrawConnectLink', 'DELETE', `/connect-links/${link}`],
    ['createReconnectLinks', 'POST', '/connect-links/reconnect', { integration: 'amocrm' }],
    ['pauseIntegration', 'POST', '/integrations/amocrm/pause'],
    ['resumeIntegration', 'POST', '/integrations/idle/resume'],
    ['pauseIntegrations', 'POST', '/integrations/pause'],
    ['resumeIntegrations', 'POST', '/integrations/resume'],
    ['putIntegration', 'PUT', '/integrations/new', integration],
    [
      'setNextClientSecret',
      'PUT',
      '/integrations/amocrm/next-client-secret',
      {
        client_secret: 'next',
      },
    ],
    ['removeNextClientSecret', 'DELETE', '/integrations/amocrm/next-client-secret'],
    ['removeIntegration', 'DELETE', '/integrations/idle'],
    ['createClient', 'POST', '/clients', { name: 'new', role: 'reader', grants: [] }],
    ['setGrants', 'PUT', '/clients/old/grants', { grants: [] }],
    ['addClientKey', 'POST', '/clients/old/keys', { overlap_seconds: 3600 }],
    ['removeClientKey', 'DELETE', `/clients/old/keys/${keyId}`],
    ['revokeClient', 'DELETE', '/clients/old'],
    ['createEndpoint', 'POST', '/endpoints', { name: 'new', kind: 'webhook', url: NOWHERE }],
    ['changeEndpoint', 'PATCH', '/endpoints/hook', { types: ['endpoint.test'] }],
    ['rotateEndpointSecret', 'POST', '/endpoints/hook/rotate-secret'],
    ['testEndpoint', 'POST', '/endpoints/hook/test'],
    ['resendDelivery', 'POST', `/endpoints/hook/deliveries/${delivery}/resend`],
    ['disableEndpoint', 'POST', '/endpoints/hook/disable'],
    ['enableEndpoint', 'POST', '/endpoints/off/enable'],
    ['removeEndpoint', 'DELETE', '/endpoints/hook'],
    ['labelAccount', 'PATCH', '/accounts/demo', { label: 'A customer' }],
    ['setIntegrationPace', 'PATCH', '/integrations/amocrm', { pace_per_second: 3 }],
    ['createSignInLink', 'POST', '/console-links'],
    ['cleanUp', 'POST', '/clean-up', { older_than_days: 1, accounts: [left] }],
    ['removeAccount', 'DELETE', '/accounts/demo'],
  ]
}

t.test('an act without its audit row does not happen, on every operator route', async (t) => {
  const stage = await startBrokerWithSandbox(t, { env: PRIVATE })
  const { broker, databaseUrl, sandbox } = stage
  const idle = {
    provider: 'amocrm',
    client_id: 'idle',
    client_secret: 'secret',
    redirect_uri: `${broker.publicUrl}/idle`,
    sandbox_origin: sandbox.origin,
  }
  await ask(broker.url, 'PUT', '/integrations/idle', key, idle)
  await broker.post('/integrations/idle/pause', undefined)
  const old = await makeClient(broker, 'old', 'reader', INSTALLER)
  for (const [id, change] of [
    ['paused', 'paused = true'],
    ['pending', `status = 'pending', "approvedAt" = null`],
    ['shadow', 'shadow = true'],
    ['left', `status = 'reauth_required'`],
  ] as const) {
    await connect(stage, id)
    await query(databaseUrl, `update amo_tokens set ${change} where domain = $1`, [
      `${id}.amocrm.ru`,
    ])
  }
  for (const name of ['hook', 'off']) await makeEndpoint(broker, { name, url: NOWHERE, types: [] })
  await broker.post('/endpoints/off/disable', undefined)
  const [{ delivery } = {}] = await query(
    databaseUrl,
    `insert into amo_deliveries ("endpointId", "messageId", "eventIds", state)
     select id, gen_random_uuid(), '{}', 'failed' from amo_endpoints where name = 'hook'
     returning id::int as delivery`,
  )
  const [{ account } = {}] = await query(
    databaseUrl,
    `update amo_tokens set "statusSince" = now() - interval '9 days' where domain = 'left.amocrm.ru'
     returning "accountId"::int as account`,
  )
  const left = { integration: 'amocrm', account_id: account }
  await broker.post('/connect-links', { integration: 'amocrm' })
  const [{ link } = {}] = await query(
    databaseUrl,
    'select id as link from amo_connect_links where "usedAt" is null',
  )
  const routes = operatorRoutes(stage, old.split('_')[2] ?? '', { delivery, link, left })
  const { paths } = (await broker.get('/openapi.json')).body as {
    paths: Record<string, Record<string, { operationId: string }>>
  }
  const writes = Object.values(paths)
    .flatMap((path) => Object.entries(path))
    .filter(([method]) => method !== 'get')
    .map(([, { operationId }]) => operationId)
  const tested = [...routes.map(([operationId]) => operationId), 'importAccount', 'reportToken']
  t.same(tested.toSorted(), writes.toSorted(), 'every route that changes something')

  await query(
    databaseUrl,
    `create function refuse() returns trigger language plpgsql as $$
     begin
       if new.actor = 'operator' then raise exception 'refused'; end if;
       return new;
     end $$;
     create trigger refuse before insert on amo_audit for each row execute function refuse()`,
  )
  for (const [operationId, method, path, body] of routes) {
    const before = await stateOf(databaseUrl)
    const { status } = await ask(broker.url, method, path, key, body)
    t.equal(status, 500, operationId)
    t.equal(await stateOf(databaseUrl), before, `${operationId}: nothing happened`)
  }
  await query(databaseUrl, 'drop trigger refuse on amo_audit')
  const [{ last } = {}] = await query(databaseUrl, 'select max(id) as last from amo_audit')
  for (const [operationId, method, path, body] of routes) {
    const { status } = await ask(broker.url, method, path, key, body)
    if (!operationId.startsWith('exchange')) t.ok(status < 300, `${operationId}: ${status}`)
    const rows = await query(
      databaseUrl,
      `select actor, outcome from amo_audit where action = $1 and id > $2 and outcome <> 'internal_error'`,
      [operationId, last],
    )
    t.match(rows[0], { actor: 'operator' }, operationId)
    if (!operationId.startsWith('exchange')) t.equal(rows.length, 1, `${operationId}: one row`)
  }
})

async function connect({ broker, sandbox }: BrokerWithSandbox, subdomain: string): Promise<void> {
  const { connectAccount } = await import('./support/broker.ts')
  sandbox.world.addAccount({ platform: 'amocrm', subdomain })
  await connectAccount(broker, subdomain)
}

t.test('kill -9 around an act: both the act and its author are there, or neither', async (t) => {
  for (const [step, isDone] of [
    ['act_recorded', false],
    ['act_done', true],
  ] as const) {
    const { broker, databaseUrl } = await startBrokerWithSandbox(t, {
      connect: false,
      env: { NODE_OPTIONS: '--import=./test/support/kill-at.ts', KILL_AT: step },
    })
    await broker.post('/integrations/amocrm/pause', undefined).catch(() => {})
    await until(() => broker.process.signalCode !== null)
    const [integration] = await query(databaseUrl, 'select state from amo_integrations')
    const acts = await query(
      databaseUrl,
      `select actor, outcome from amo_audit where action = 'pauseIntegration'`,
    )
    t.equal(integration?.state, isDone ? 'paused' : 'running', step)
    t.same(acts, isDone ? [{ actor: 'operator', outcome: 'done' }] : [], step)
  }
})

t.test('the audit notices what is done to it and around it', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  const { broker, databaseUrl, sandbox } = stage
  const since = async (statement: string) => {
    const [{ last } = {}] = await query(databaseUrl, 'select max(id)::int as last from amo_audit')
    const asBroker = `set application_name = 'amo-token-broker ${new URL(databaseUrl).pathname.slice(1)}'`
    await query(databaseUrl, `${asBroker}; ${statement}; reset application_name`)
    return query(
      databaseUrl,
      `select action, outcome, actor, detail->>'user' as by from amo_audit
       where id > $1 and actor = 'database' order by id`,
      [last],
    )
  }

  await t.test('every column that a rotation does not change, and TRUNCATE', async (t) => {
    for (const [statement, ...actions] of [
      [`update amo_tokens set shadow = true`, 'accountShadow'],
      [`update amo_tokens set shadow = false`, 'accountShadow'],
      [`update amo_tokens set "apiDomain" = 'x.amocrm.ru'`, 'accountChanged'],
      [`update amo_tokens set "approvedAt" = now()`, 'accountChanged'],
      [`update amo_tokens set "createdAt" = now()`, 'accountChanged'],
      [`update amo_tokens set "accessToken" = "accessToken" || 'x'`, 'accountTokens'],
      [`update amo_tokens set "refreshTokenFingerprint" = 'x'`, 'accountTokens'],
      [
        `update amo_integrations set state = 'paused', "redirectUri" = "redirectUri" || '?'`,
        'integrationState',
        'integrationChanged',
      ],
      [`update amo_integrations set "nextClientSecret" = 'x'`, 'integrationSecret'],
      [`update amo_integrations set "stateReason" = 'x'`, 'integrationState'],
      [`update amo_integrations set "envDigest" = 'x'`, 'integrationChanged'],
      [`update amo_integrations set external = true`, 'integrationChanged'],
      [`update amo_integrations set "pacePerSecond" = 7`, 'integrationChanged'],
      [`update amo_deployment set "usedKeys" = '{a,b}'`, 'deploymentChanged'],
      [`insert into amo_clients (name, role, mac) values ('x', 'reader', '')`, 'clientChanged'],
      [`truncate amo_clients`, 'tableTruncated'],
      [`truncate amo_connect_links`, 'tableTruncated'],
      [`truncate amo_refresh_attempts`, 'tableTruncated'],
      [`truncate amo_tokens cascade`, 'tableTruncated'],
    ] as const) {
      const rows = await since(statement)
      for (const action of actions) {
        const found = rows.find((row) => row.action === action)
        t.ok(found, `${statement}: ${action}`)
        t.ok(found?.by, 'the authenticated role')
      }
    }
  })

  await t.test('every column of a watched table is covered or belongs to a rotation', async (t) => {
    const rotation = [
      'accessToken refreshToken refreshTokenFingerprint generation issuedAt expiresAt refreshAt',
      'accessDeadAt refreshTokenExpiresAt nextAttemptAt failedAttempts lastReadAt lastRefreshAt',
      'lastErrorCode lastErrorAt updatedAt paceTokens paceAt condemnedAt codeTokens codeAt',
      // Background checks, and the secret that a success has proven. That one is only compared: an
      // altered value opens nothing, so hosts cannot be moved with it.
      'checkedAt suspectAt provenSecret',
      // Set by a trigger with the status, by a restore until the next pair, and with the pace.
      'statusSince isRestored hasOwnPace',
    ].join(' ')
    for (const table of ['amo_tokens', 'amo_integrations']) {
      const [{ source } = {}] = await query(
        databaseUrl,
        `select prosrc as source from pg_proc where proname = $1`,
        [`${table}_audit`],
      )
      const columns = await query(
        databaseUrl,
        `select column_name as name from information_schema.columns where table_name = $1`,
        [table],
      )
      for (const { name } of columns) {
        const isCovered = new RegExp(`new\\."?${name}"?\\b`).test(String(source))
        t.ok(isCovered || rotation.split(' ').includes(String(name)), `${table}.${name}`)
      }
    }
  })

  await t.test('a back-dated row, and one in a gap of ids', async (t) => {
    await query(
      databaseUrl,
      `insert into amo_audit (at, actor, action, outcome)
       values (now() - interval '30 days', 'intruder', 'readToken', 'done')`,
    )
    await until(() => /has an earlier time than the rows before it/.test(broker.log()))
    t.match((await degraded(broker)).join(), /audit: tampered with/)
    await query(databaseUrl, `select setval(pg_get_serial_sequence('amo_audit', 'id'), 900000)`)
    await broker.post('/connect-links', { integration: 'amocrm' })
    await until(async () => {
      const [row] = await query(databaseUrl, 'select seq from amo_audit where id > 900000 limit 1')
      return row?.seq
    })
    await query(
      databaseUrl,
      `insert into amo_audit (id, actor, action, outcome) overriding system value
       values (500000, 'intruder', 'readToken', 'done')`,
    )
    await until(() => /has a smaller id than the rows before it/.test(broker.log()))
  })

  await t.test('a head that moved back, also while the broker was down', async (t) => {
    const sealed = async () => {
      const [row] = await query(databaseUrl, 'select seq::int from amo_audit_head')
      return Number(row?.seq)
    }
    await broker.stop()
    const last = await sealed()
    await query(
      databaseUrl,
      `delete from amo_audit where seq > ${last - 2}; update amo_audit_head set seq = ${last - 2},
         mac = (select mac from amo_audit where seq = ${last - 2})`,
    )
    const again = await startBroker(t, { databaseUrl, sandbox, dataDir: broker.dataDir })
    await until(() => /its head moved back or was rewritten/.test(again.log()))
    t.match((await degraded(again)).join(), /audit: tampered with/)
    await again.stop()

    // Without the file, which an operator removes after looking, this is the history.
    writeFileSync(join(broker.dataDir, 'audit-head'), '')
    const third = await startBroker(t, { databaseUrl, sandbox, dataDir: broker.dataDir })
    await third.post('/connect-links', { integration: 'amocrm' })
    await until(async () => (await sealed()) > last - 2)
    t.notMatch((await degraded(third)).join(), /moved back/)
    await query(databaseUrl, `update amo_audit_head set mac = 'x'`)
    await third.post('/connect-links', { integration: 'amocrm' })
    await until(() => /its head moved back or was rewritten/.test(third.log()))
  })
})
