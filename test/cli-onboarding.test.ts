import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parseImportFile } from '../src/onboarding/import-file.ts'
import type { Platform } from '../src/sandbox/hosts.ts'
import { CLIENT_ID, OPERATOR_KEY } from './support/broker.ts'
import {
  assertPresentedOnce,
  type BrokerWithSandbox,
  startBrokerWithSandbox,
} from './support/broker-with-sandbox.ts'
import { type CommandResult, runCli } from './support/cli.ts'
import { query } from './support/database.ts'
import { Person } from './support/person.ts'

/** The redirect URI in the Kommo guide. */
const KOMMO_ID = '2a5c1463-43dd-4ccc-abd0-79516f785e57'
const KOMMO_SECRET = 'canary-kommo-secret'

interface Operator {
  cli(args: string[], input?: string, env?: Record<string, string>): Promise<CommandResult>
  json(...args: string[]): Promise<Record<string, unknown>[]>
}

function operatorOf({ broker }: BrokerWithSandbox): Operator {
  const base = { BROKER_URL: broker.url, BROKER_KEY: OPERATOR_KEY }
  const cli: Operator['cli'] = (args, input, env = {}) => runCli(args, { ...base, ...env }, input)
  return {
    cli,
    async json(...args) {
      const { out, err } = await cli([...args, '--json'])
      return JSON.parse(out || `"${err}"`)
    },
  }
}

/** An account of the sandbox, and the codes and pairs that an integration may get for it. */
function grantsOf(
  { sandbox }: BrokerWithSandbox,
  subdomain: string,
  platform: Platform = 'amocrm',
) {
  const { world } = sandbox
  const { directory, grants } = world
  const account =
    directory.findAccount(subdomain, platform) ?? world.addAccount({ platform, subdomain })
  const clientId = platform === 'kommo' ? KOMMO_ID : CLIENT_ID
  const integration = directory.integrations.get(clientId)
  if (integration === undefined) throw new Error('the sandbox has no such integration')
  return {
    account,
    pair: () => grants.mintPair(account, integration),
    code: () => grants.issueCode(account, integration),
    longLived: () => grants.mintLongLived(account, integration, 86_400),
  }
}

function file(t: Test, text: string): string {
  const path = join(t.testdir(), 'accounts')
  writeFileSync(path, text)
  return path
}

t.test('an import file: CSV as Excel writes it, JSON, JSON lines', async (t) => {
  const fields = { domain: 'a.kommo.com', access_token: 'x"y', refresh_token: 'z' }
  for (const [text, lines] of [
    ['domain,access_token,refresh_token\r\na.kommo.com,"x""y",z\r\n', [2]],
    ['\uFEFFDomain;Access_Token;refresh_token;expires_at\n\n"a.kommo.com";"x""y";z;\n', [3]],
    ['domain\taccess_token\trefresh_token\na.kommo.com\tx"y\tz', [2]],
    ['domain,access_token,refresh_token,expires_at\na.kommo.com,x"y,z,', [2]],
    ['domain,access_token,refresh_token\na.kommo.com,x"y,z\n,,\n', [2]],
    ['domain,access_token,refresh_token,expires_at\na.kommo.com,x"y,z\n', [2]],
    [JSON.stringify([{ ...fields, expires_at: null }]), [1]],
    [`${JSON.stringify(fields)}\n\n${JSON.stringify(fields)}\n`, [1, 3]],
  ] as const) {
    t.same(
      parseImportFile(text),
      lines.map((line) => ({ line, fields })),
      text,
    )
  }
  for (const [text, message] of [
    ['', /contains no account/],
    ['domain,access_token\n', /contains no account/],
    ['a.kommo.com,canary-token\nb.kommo.com,canary-token', /line 2: unknown column$/],
    ['domain,token\na,canary', /unknown column "token"/],
    ['domain,access_token\na,"canary', /line 2: a quote is not closed/],
    ['domain\na,canary', /line 2: more columns than the header/],
    ['{"domain": canary}', /line 1: not valid JSON/],
    ['["canary"]', /line 1: not an object/],
  ] as const) {
    t.throws(() => parseImportFile(text), { message }, text)
    try {
      parseImportFile(text)
    } catch (error) {
      t.notMatch(JSON.stringify([(error as Error).message, error]), 'canary')
    }
  }
})

t.test('accounts import, check, take-over, remove', { buffered: true }, async (t) => {
  const stage = await startBrokerWithSandbox(t, { connect: false })
  const { broker, sandbox } = stage
  const { cli, json } = operatorOf(stage)
  const one = ['accounts', 'import', '--integration', 'amocrm']

  await t.test('one pair: from standard input, or from the environment', async (t) => {
    const { accessToken, refreshToken } = grantsOf(stage, 'demo').pair()
    const done = await cli([...one, '--domain', 'demo'], `${accessToken}\n${refreshToken}\n`)
    t.match(done, {
      code: 0,
      err: '',
      out: /^✔ line 1 {2}demo\.amocrm\.ru \(amocrm\) {2}imported, account \d+\n$/,
    })
    t.equal((await broker.get('/tokens/demo')).body.access_token, accessToken)
    const token = grantsOf(stage, 'private').longLived()
    const order = [...one, '--domain', 'private.amocrm.ru', '--long-lived']
    t.match(await cli(order, '', { ACCESS_TOKEN: token }), { code: 0, out: /imported/ })
    t.equal((await broker.get('/tokens/private')).body.access_token, token)
    t.match(await cli(one), { code: 2, err: /give a file, or --domain/ })
    t.match(await cli([...one, '--domain', 'x'], accessToken), {
      code: 1,
      err: /Refresh token: nothing given/,
    })
  })

  const rows = ['third', 'fourth'].map((name) => ({ name, ...grantsOf(stage, name).pair() }))
  const csv = [
    'integration;domain;access_token;refresh_token',
    ...rows.map((row) => `amocrm;${row.name}.amocrm.ru;${row.accessToken};${row.refreshToken}`),
    `amocrm;nobody.amocrm.ru;${rows[0]?.accessToken};canary-refresh-token`,
    'amocrm;no-token.amocrm.ru;;',
    'none;demo.amocrm.ru;canary-access-token;canary-refresh-token',
  ].join('\n')

  await t.test(
    'a file of many: one line each with the remedy; repeated, it reports existing pairs',
    async (t) => {
      const path = file(t, csv)
      const first = await cli(['accounts', 'import', path, '--pace', '100'])
      t.match(first, { code: 1, err: '' })
      t.match(first.out, /✔ line 2 {2}third\.amocrm\.ru \(amocrm\) {2}imported, account \d+\n/)
      t.match(first.out, /✖ line 4 .*failed: The tokens cannot be imported: .*\n {2}→ Correct/)
      t.match(first.out, /✖ line 5 .*failed: access_token is missing\n/)
      t.match(first.out, /✖ line 6 .*failed: No such integration/)
      t.match(first.out, /\n2 imported, 3 failed\n$/)
      const again = await json('accounts', 'import', path, '--pace', '100')
      t.match(again, [
        { line: 2, domain: 'third.amocrm.ru', result: 'already there', account_id: Number },
        { line: 3, result: 'already there' },
        { line: 4, result: 'failed', code: 'import_refused', remedy: String },
        { line: 5, result: 'failed', code: 'bad_request' },
        { line: 6, result: 'failed', code: 'integration_not_found' },
      ])
      t.notMatch(first.out + JSON.stringify(again), /canary|eyJ|def502/)
    },
  )

  await t.test('another pair of a known account: refused without --replace', async (t) => {
    const { accessToken, refreshToken } = grantsOf(stage, 'fourth').pair()
    const line = JSON.stringify([
      { domain: 'fourth', access_token: accessToken, refresh_token: refreshToken },
    ])
    const order = [...one, '-', '--json']
    const refused = await cli(order, line)
    t.equal(refused.code, 1)
    t.match(JSON.parse(refused.out), [
      {
        result: 'not replaced',
        code: 'account_exists',
        problem: /different pair/,
        remedy: /--rep/,
      },
    ])
    t.match(await cli([...one, '-'], line), { code: 1, out: /✖ .*different pair.*\n {2}→ .*--rep/ })
    t.not((await broker.get('/tokens/fourth')).body.access_token, accessToken)
    t.match(JSON.parse((await cli([...order, '--replace'], line)).out), [{ result: 'replaced' }])
    t.equal((await broker.get('/tokens/fourth')).body.access_token, accessToken)
    const same = await cli([...order, '--replace'], line)
    t.equal(same.code, 0)
    t.match(JSON.parse(same.out), [{ result: 'already there', domain: 'fourth.amocrm.ru' }])
  })

  await t.test('a broker that refuses the caller ends the import', async (t) => {
    const { code, out, err } = await cli(['accounts', 'import', file(t, csv)], '', {
      BROKER_KEY: 'x',
    })
    t.match({ code, out, err }, { code: 1, out: '', err: /code: unauthorized/ })
  })

  await t.test('--shadow, then take-over: the migration from another service', async (t) => {
    const { accessToken, refreshToken } = grantsOf(stage, 'moving').pair()
    const input = `${accessToken}\n${refreshToken}`
    t.match(await cli([...one, '--domain', 'moving', '--shadow'], input), { code: 0 })
    t.match(await cli(['accounts', 'list']), { out: /\nmoving\.amocrm\.ru .*active, shadow/ })
    t.match((await broker.get('/tokens/moving')).body, { warning: 'shadow', use_for: 0 })
    t.match(await cli(['accounts', 'list', '--shadow', '--names']), { out: 'moving.amocrm.ru\n' })
    const both = await cli(['accounts', 'take-over', 'nobody', 'moving'])
    t.match(both, { code: 1, err: /^nobody:\namo-broker: No such account/ })
    t.match(both.out, /\nmoving\.amocrm\.ru .* active {2}/)
    t.match(await cli(['accounts', 'take-over', 'moving']), { code: 0, out: /status +active\n/ })
  })

  await t.test('check: the smoke test of the guides, exit code 0 or 1', async (t) => {
    const { account } = grantsOf(stage, 'demo')
    account.leads = 3
    const well = await cli(['check', 'demo'])
    t.match(well, { code: 0, err: '' })
    t.match(well.out, /^demo\.amocrm\.ru \(\d+\), http/)
    for (const name of ['account', 'users', 'pipelines', 'leads', 'refresh_token']) {
      t.match(well.out, new RegExp(`\n✔ ${name} +(200|-) +\\d+ ms`))
    }
    account.leads = 0
    t.match(await cli(['accounts', 'check', 'demo']), {
      code: 0,
      out: /\n✔ leads +204 +\d+ ms +0 {2}none/,
    })
    sandbox.world.faults.set([{ fault: 'forbidden_html', endpoint: 'api' }])
    const blocked = await cli(['check', 'demo'])
    t.match(blocked, { code: 1, out: /\n✖ pipelines +403 .*\n {2}→ .*scopes/ })
    t.match(blocked.out, /\n✔ users +403 .*administrators/)
    sandbox.world.faults.clear()
    t.match(await json('check', 'demo'), { ok: true, domain: 'demo.amocrm.ru' })
    sandbox.world.faults.set([{ fault: 'too_many_requests', endpoint: 'api', times: 2 }])
    const patient = await cli(['check', 'demo'])
    t.match(patient, { code: 0, out: /\nThe token works\.\n$/ }, 'waits and tries again')
    sandbox.world.faults.set([{ fault: 'too_many_requests', endpoint: 'api' }])
    const untried = await cli(['check', 'demo'])
    t.match(untried, { code: 1, out: /\n- account +429 .*not tried[\s\S]*was not tried: / })
    sandbox.world.faults.clear()
    sandbox.world.grants.revoke(account)
    t.match(await cli(['check', 'demo']), { code: 1, out: /\n✖ account +401/ })
  })

  await t.test('approve, remove: ask first, and report the remaining steps', async (t) => {
    await query(
      stage.databaseUrl,
      `update amo_tokens set status = 'pending', "approvedAt" = null where domain like 'moving.%'`,
    )
    t.match(await cli(['accounts', 'approve', 'moving']), { code: 0, out: /status +active/ })
    t.match(await cli(['accounts', 'remove', 'moving']), { code: 1, err: /add --yes/ })
    const gone = await cli(['accounts', 'remove', 'moving', '--yes'])
    t.match(gone, { code: 0, out: /is removed:\n.*\nWhat remains:\n {2}- the integration/s })
    t.match(await cli(['accounts', 'show', 'moving']), { code: 1, err: /account_not_found/ })
  })
})

t.test(
  'the amoCRM guide, with the broker instead of its backend',
  { buffered: true },
  async (t) => {
    const stage = await startBrokerWithSandbox(t, { connect: false })
    const { broker, sandbox } = stage
    const { cli, json } = operatorOf(stage)
    const order = ['exchange-api-key', '--integration', 'amocrm', '--domain', 'demo']
    const login = ['--login', 'admin@example.com']

    await t.test('the alternative: login and API key, refused with the reason', async (t) => {
      t.match(await cli(order, 'sandbox-api-key'), { code: 2, err: /--login is missing/ })
      const early = await cli([...order, ...login], 'sandbox-api-key')
      t.match(early, { code: 1, err: /code: exchange_refused/ })
      t.match(early.err, /remedy: .*Install/)
    })

    await t.test('the alternative: connected after the code has arrived', async (t) => {
      const { account } = grantsOf(stage, 'demo')
      sandbox.world.directory.integrations.get(CLIENT_ID)?.installedIn.add(account.key)
      const done = await cli([...order, ...login], '', { API_KEY: 'sandbox-api-key' })
      t.match(done, { code: 0, out: /^demo\.amocrm\.ru is connected: account \d+\.\n$/ })
      t.equal((await broker.get('/tokens/demo')).status, 200)
      const again = await cli([...order, ...login], 'sandbox-api-key')
      t.match(again, { code: 1, err: /exchange_too_soon/ })
      t.notMatch(done.out + again.err, 'sandbox-api-key')
      const none = ['exchange-api-key', '--ask', '00000000-0000-4000-8000-000000000000']
      t.match(await cli(none), { code: 1, err: /exchange_not_found/ })
    })

    await t.test('check: the guide’s SQL, and check', async (t) => {
      const sql = 'SELECT "accountId", "expiresAt", "createdAt" FROM amo_tokens;'
      t.match(await query(stage.databaseUrl, sql), [{ expiresAt: Date, createdAt: Date }])
      t.match(await cli(['check', 'demo']), { code: 0 })
      t.match(await json('onboardings'), [{ origin: 'exchange', outcome: 'connected' }])
      t.match(await cli(['onboardings']), {
        out: /\bexchange +amocrm +demo\.amocrm\.ru +connected/,
      })
    })

    await t.test('reconnect: a link for each account that needs one', async (t) => {
      t.match(await cli(['reconnect']), { code: 0, out: /^no account needs/ })
      await query(stage.databaseUrl, `update amo_tokens set status = 'reauth_required'`)
      t.match(await json('reconnect'), [{ domain: 'demo.amocrm.ru', url: /\/connect\// }])
      t.match(await cli(['reconnect', '--integration', 'none']), { out: /^no account needs/ })
      t.match(await cli(['reconnect', 'demo']), { code: 2, err: /demo is not an account id/ })
    })

    await t.test('integrations button: only its HTML on standard output', async (t) => {
      const button = ['integrations', 'button']
      const own = await cli([...button, 'amocrm', '--title', 'Connect "us"'])
      t.match(own, { code: 0, err: /connects one account, once/ })
      t.match(
        own.out,
        /^<script class="amocrm_oauth"\s.*data-title="Connect &quot;us&quot;".*<\/script>\n$/s,
      )
      t.match(own.out, `data-client-id="${CLIENT_ID}"`)
      const uri = `${broker.publicUrl}/integrations/kommo/oauth/callback`
      const made = [
        '--external',
        '--provider',
        'kommo',
        '--redirect-uri',
        uri,
        '--scope',
        'crm',
        'leads',
      ]
      const external = await cli([...button, ...made])
      t.match(external.out, /^<script class="kommo_oauth"\s/)
      t.match(external.out, `data-secrets_uri="${broker.publicUrl}/hooks/secrets"`)
      t.match(external.out, 'data-scopes="crm,leads"')
      t.match(await cli(button), { code: 2, err: /the name of an integration, or --external/ })
      t.match(await cli([...button, '--external']), { code: 2, err: /needs --provider/ })
      t.match(await cli([...button, 'none']), { code: 1, err: /integration_not_found/ })
    })

    await t.test('connect --opener-origin: checked', async (t) => {
      const connect = ['connect', '--integration', 'amocrm', '--opener-origin']
      t.match(await cli([...connect, 'https://crm.example.com']), { code: 0 })
      t.match(await cli([...connect, 'https://crm.example.com/path']), {
        code: 1,
        err: /bad_request/,
      })
    })

    await t.test('links: listed with their end, withdrawn; the refused consent', async (t) => {
      const denied = await cli(['connect', '--integration', 'amocrm', '--account', 'demo'])
      const person = new Person()
      await person.finish(await person.decide(denied.out.trim(), 'deny'))
      const [link = {}] = await json('links', 'list')
      t.match(link, {
        created_by: 'operator',
        account: 'demo',
        state: 'failed',
        failure: 'access_denied',
        remedy: /choose “Allow”/,
        opened_at: String,
        onboarding_id: null,
      })
      t.notMatch(JSON.stringify(link), /connect\//, 'without the secret in its URL')
      const [refused = {}] = await json('onboardings')
      t.match(refused, {
        ...{ id: link.id, link_id: link.id, origin: 'consent', integration: 'amocrm' },
        ...{ outcome: 'access_denied', remedy: /choose “Allow”/, domain: null },
      })
      t.same((await broker.get(`/onboardings/${link.id}`)).body, refused)
      t.match(await cli(['onboardings']), { out: /consent +amocrm +- +access_denied\n {2}→ Open/ })
      t.match(await cli(['links', 'list']), {
        out: /\bdemo +failed +in 7 d\n {2}→ access_denied: /,
      })
      t.match(denied.err, `amo-broker links withdraw ${link.id}`)
      t.match(await cli(['links', 'withdraw', String(link.id)]), { code: 0, out: /leads nowhere/ })
      t.equal((await person.get(denied.out.trim())).status, 404, 'the link is dead')
      const again = await cli(['links', 'withdraw', String(link.id)])
      t.match(again, { code: 1, err: /amo-broker links list[\s\S]*link_not_found/ })
      t.match(await cli(['links', 'withdraw', 'x']), { code: 2, err: /not the id of a link/ })
      const [act] = (await broker.get('/audit?action=withdrawConnectLink&outcome=done')).body
        .entries
      t.match(act, { actor: 'operator', detail: { link: link.id } })
    })

    await t.test('links: as many pages as it takes', async (t) => {
      await query(
        stage.databaseUrl,
        `insert into amo_connect_links
           ("tokenHash", integration, mode, "createdBy", "createdAt", "expiresAt")
         select 'hash-' || n, 'amocrm', 'popup', 'operator', now() - n * interval '1 minute', now()
         from generate_series(1, 250) n`,
      )
      t.equal((await json('links', 'list', '--limit', '240')).length, 240)
      const ids = (await json('links', 'list', '--limit', '1000')).map(({ id }) => id)
      t.ok(ids.length >= 250)
      t.equal(new Set(ids).size, ids.length, 'no link twice')
    })
  },
)

t.test('the Kommo guide, with the broker instead of its scripts', { buffered: true }, async (t) => {
  const stage = await startBrokerWithSandbox(t, { connect: false })
  const { broker, sandbox } = stage
  const { cli } = operatorOf(stage)
  const redirectUri = `${broker.publicUrl}/integrations/kommo/oauth/callback`
  sandbox.world.addIntegration({
    platform: 'kommo',
    clientId: KOMMO_ID,
    clientSecret: KOMMO_SECRET,
    redirectUri,
  })
  const set = ['integrations', 'set', 'kommo']

  await t.test('step 1: create the integration; a change of a host needs the secret', async (t) => {
    t.match(await cli(set), {
      code: 2,
      err: /needs --provider, --client-id and --redirect-uri/,
    })
    const made = await cli(
      [
        ...set,
        '--provider',
        'kommo',
        '--client-id',
        KOMMO_ID,
        '--redirect-uri',
        redirectUri,
        '--sandbox-origin',
        sandbox.origin,
        '--kommo-guide',
      ],
      KOMMO_SECRET,
    )
    t.match(made, { code: 0, out: /\nkommo +http.* +running/ })
    t.match((await broker.get('/integrations/kommo')).body, {
      client_id: KOMMO_ID,
      profile: { token_url: 'https://kommo.com/oauth/token', encoding: 'form' },
    })
    t.match(
      await cli([...set, '--accept-installs']),
      { code: 0 },
      'no host: no secret is asked for',
    )
    t.match((await broker.get('/integrations/kommo')).body, { accepts_installs: true })
    const moved = [...set, '--redirect-uri', `${broker.publicUrl}/elsewhere`]
    t.match(await cli(moved), { code: 1, err: /Present client secret: nothing given/ })
    t.match(await cli(moved, 'canary-wrong'), { code: 1, err: /client_secret_needed/ })
    t.match((await broker.get('/integrations/kommo')).body, { redirect_uri: redirectUri })
  })

  await t.test('step 2: the authorize URL has every parameter of the guide', async (t) => {
    const link = await cli(['connect', '--integration', 'kommo'])
    const opened = await fetch(link.out.trim(), { redirect: 'manual' })
    const { searchParams } = new URL(opened.headers.get('location') ?? '')
    t.same(
      { ...Object.fromEntries(searchParams), state: '' },
      {
        client_id: KOMMO_ID,
        redirect_uri: redirectUri,
        response_type: 'code',
        state: '',
        mode: 'popup',
        scope:
          'crm:read crm:write leads:read leads:write contacts:read contacts:write tasks:read tasks:write',
      },
    )
  })

  await t.test(
    'step 3: exchange-code with the code, or with the URL that contains it',
    async (t) => {
      const kwid = grantsOf(stage, 'kwid', 'kommo')
      const order = ['exchange-code', '--integration', 'kommo']
      t.match(await cli(order, kwid.code()), { code: 2, err: /--domain is missing/ })
      const done = await cli([...order, '--domain', 'kwid.kommo.com'], `${kwid.code()}\n`)
      t.match(done, { code: 0, out: /^kwid\.kommo\.com is connected: account \d+\.\n$/ })
      const address = `${redirectUri}?code=${kwid.code()}&referer=kwid.kommo.com&state=x`
      t.match(await cli(order, '', { AUTHORIZATION_CODE: address }), { code: 0 })
      const denied = await cli(order, `${redirectUri}?error=access_denied`)
      t.match(denied, { code: 1, err: /contains no code, but the error access_denied\n.*Allow/ })
      const junk = await cli([...order, '--domain', 'kwid'], `def502canary${'0'.repeat(50)}`)
      t.match(junk, { code: 1, err: /onboarding_failed/ })
      t.match(junk.err, /remedy: Make a new connect link/)
      t.notMatch(junk.err + done.out, /def502/)
    },
  )

  await t.test('step 5: check instead of test-kommo.ts; the token for any service', async (t) => {
    t.match(await cli(['check', 'kwid']), {
      code: 0,
      out: /✔ users .*\n✔ pipelines .*\n✔ leads /,
    })
    t.match((await broker.get('/tokens/kwid')).body, {
      domain: 'kwid.kommo.com',
      integration: 'kommo',
    })
    t.match(await cli(['integrations', 'remove', 'kommo', '--yes']), {
      code: 1,
      err: /integration_in_use/,
    })
  })
  assertPresentedOnce(t, stage)
})
