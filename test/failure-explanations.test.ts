import t from 'tap'
import { explainFailure } from '../src/provider/failures.ts'
import { REFUSALS } from '../src/provider/refusals.ts'
import { CLIENT_ID, OPERATOR_KEY, startBroker, until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { ask } from './support/clients.ts'
import { query } from './support/database.ts'

const operator = { authorization: `Bearer ${OPERATOR_KEY}` }
const PROBLEM = 'application/problem+json'
const hinted = (hint: string) => JSON.stringify({ hint, title: 'Некорректный запрос' })
const plain = JSON.stringify({ title: 'Некорректный клиент' })

type Row = [code: string, status: number, contentType: string, body: string, remedy: RegExp]

/** The refusals of a code, as docs/provider.md, part 3, lists them. */
const FOR_A_CODE: Row[] = [
  ['client_rejected', 401, PROBLEM, plain, /AMO_CLIENT_SECRET/],
  ['client_id_malformed', 400, PROBLEM, hinted('Check the `client_id` parameter'), /AMO_CLIENT_ID/],
  [
    'client_secret_malformed',
    400,
    PROBLEM,
    hinted('Check the `client_secret` parameter'),
    /AMO_CLIENT_SECRET/,
  ],
  [
    'redirect_uri_mismatch',
    400,
    PROBLEM,
    hinted('Redirect URI is not associated with client'),
    /AMO_REDIRECT_URI.*byte for byte/,
  ],
  ['invalid_account', 400, PROBLEM, hinted('Invalid account'), /Check the domain/],
  ['account_not_found', 404, PROBLEM, plain, /Check the domain/],
  ['code_expired', 400, PROBLEM, hinted('Authorization code has expired'), /new connect link/],
  ['code_used', 400, PROBLEM, hinted('Authorization code has been revoked'), /new connect link/],
  [
    'code_unreadable',
    400,
    PROBLEM,
    hinted('Cannot decrypt the authorization code'),
    /new connect link/,
  ],
  [
    'code_of_other_client',
    400,
    PROBLEM,
    hinted('Authorization code was not issued to this client'),
    /AMO_CLIENT_ID/,
  ],
  ['gateway_error', 502, 'text/html', '<html>502</html>', /consent once more/],
  ['gateway_error', 504, 'text/html', '<html>504</html>', /consent once more/],
  ['server_error', 500, PROBLEM, plain, /consent once more/],
  ['unreadable_answer', 200, 'application/json', '{"token_type":"Bearer"}', /consent once more/],
  ['unreadable_answer', 204, 'application/json', '', /consent once more/],
  ['redirected', 302, 'text/html', '', /token_url/],
  ['account_unpaid', 402, PROBLEM, plain, /subscription/],
  ['unknown_refusal', 400, PROBLEM, hinted('Something new'), /log/],
  ['unknown_refusal', 418, 'text/plain', 'teapot', /log/],
]

/** The refusals of a refresh token only, and those after which nothing is spent. */
const FOR_A_REFRESH: [code: string, remedy: RegExp][] = [
  ['token_revoked', /connect link/],
  ['token_expired', /connect link/],
  ['token_unreadable', /connect link/],
  ['token_of_other_client', /connect link/],
  ['unauthorized_without_hint', /AMO_CLIENT_SECRET/],
  ['rate_limited', /PACE_PER_SECOND/],
  ['blocked', /too many requests/],
  ['no_answer', /tries again by itself/],
  ['not_reached', /DNS, the firewall/],
  ['spent_elsewhere', /look for another service that refreshes this account, and stop it/],
  ['pair_lost', /connect link/],
]

t.test('every refusal in docs/provider.md has a code, a sentence and a remedy', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  const { broker, sandbox, databaseUrl } = stage
  const { world } = sandbox
  const account = world.directory.findAccount('demo', 'amocrm')
  const integration = world.directory.integrations.get(CLIENT_ID)
  if (account === undefined || integration === undefined) throw new Error('nobody')

  for (const [code, status, contentType, body, remedy] of FOR_A_CODE) {
    await t.test(`a code, ${status} ${code}: in the API and on the page`, async (t) => {
      world.faults.set([
        { fault: 'body', endpoint: 'token', times: 1, status, body, content_type: contentType },
      ])
      const order = {
        integration: 'amocrm',
        domain: 'demo',
        code: world.grants.issueCode(account, integration),
      }
      const answer = await broker.post('/accounts/exchange-code', order)
      t.match(answer, {
        status: 422,
        body: { code: 'onboarding_failed', outcome: code, remedy, detail: /\w \w/ },
      })
      const { onboarding_id: id, detail } = answer.body
      const page = await (await fetch(`${broker.publicUrl}/onboarding/${id}`)).text()
      t.match(page, remedy)
      t.match(page, new RegExp(`<small>${code}</small>`))
      t.match((await broker.get(`/onboardings/${id}`)).body, { outcome: code, problem: detail })
      world.faults.clear()
    })
  }

  await t.test('a refresh, every refusal: as last_error', async (t) => {
    for (const [code, remedy] of FOR_A_REFRESH) {
      await query(databaseUrl, 'update amo_tokens set "lastErrorCode" = $1', [code])
      t.match((await broker.get('/accounts/demo')).body.last_error, { code, remedy })
    }
    const known = new Set([...FOR_A_CODE, ...FOR_A_REFRESH].map(([code]) => code))
    t.same(
      Object.keys(REFUSALS).filter((code) => !known.has(code)),
      [],
      'no code is left without a test',
    )
    for (const code of known) {
      const { problem, remedy } = explainFailure(code)
      t.ok(problem.endsWith('.') && remedy.length > 10, code)
    }
    await query(databaseUrl, 'update amo_tokens set "lastErrorCode" = null')
  })

  await t.test('a refresh that fails: last_error until it succeeds', async (t) => {
    for (const [fault, code] of [
      ['too_many_requests', 'rate_limited'],
      ['forbidden_html', 'blocked'],
      ['wrong_secret', 'client_rejected'],
    ] as const) {
      world.faults.set([{ fault, endpoint: 'token', times: 1 }])
      await stage.makeDue()
      const read = async () => (await broker.get('/accounts/demo')).body.last_error
      await until(async () => (await read())?.code === code)
      t.match(await read(), { at: String, problem: String, remedy: String })
      await until(async () => (await stage.attempts()).every(({ outcome }) => outcome !== null))
    }
  })

  await t.test('errors in the callback’s own parameters', async (t) => {
    const path = `${broker.publicUrl}/api/v1/integrations/amo-crm/callback`
    for (const [search, code, remedy] of [
      ['error=access_denied', 'access_denied', /administrator/],
      ['error=invalid_scope', 'invalid_scope', /scopes/],
      ['error=server_error', 'provider_error', /settings/],
      ['', 'no_code', /link again/],
      ['code=x', 'no_state', /POST \/connect-links/],
      ['code=x&state=state', 'state_placeholder', /POST \/connect-links/],
      ['code=x&state=false', 'state_placeholder', /POST \/connect-links/],
      ['code=x&from_widget=1&referer=demo.amocrm.ru', 'installs_off', /accepts_installs/],
    ] as const) {
      const response = await fetch(`${path}?${search}`)
      const page = await response.text()
      t.match(page, new RegExp(`<small>${code}</small>`), search)
      t.match(page, remedy, search)
    }
  })

  await t.test('the provider cannot be reached', async (t) => {
    await sandbox.close()
    await query(databaseUrl, 'update amo_tokens set "failedAttempts" = 0')
    await stage.makeDue()
    await until(
      async () => (await broker.get('/accounts/demo')).body.last_error?.code === 'not_reached',
    )
    t.match((await broker.get('/accounts/demo')).body.last_error, { remedy: /firewall/ })
  })
})

t.test('a token that expires soon: state, metric and log warn', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  const { broker, sandbox, databaseUrl } = stage
  const { world } = sandbox
  t.equal((await broker.get('/accounts/demo')).body.warning, null)
  await query(
    databaseUrl,
    `update amo_tokens set "refreshTokenExpiresAt" = now() + interval '13 days'`,
  )
  t.match((await broker.get('/accounts/demo')).body.warning, {
    code: 'refresh_token_ends_soon',
    at: String,
    remedy: /consent again/,
  })
  const account = world.addAccount({ platform: 'amocrm', subdomain: 'private' })
  const integration = world.directory.integrations.get(CLIENT_ID)
  const mint = (ttl: number) => integration && world.grants.mintLongLived(account, integration, ttl)
  const order = (token: string | undefined) => ({
    integration: 'amocrm',
    domain: 'private',
    access_token: token,
  })
  const first = await broker.post('/accounts/import', order(mint(30 * 86_400)))
  t.match(first, { status: 201, body: { warning: null } })
  const second = await ask(
    broker.url,
    'POST',
    '/accounts/import',
    { ...operator, 'if-match': `"${first.body.generation}"` },
    order(mint(10 * 86_400)),
  )
  t.match(second, {
    status: 200,
    body: { warning: { code: 'long_lived_token_ends_soon', remedy: /If-Match/ } },
  })
  await broker.stop()
  const again = await startBroker(t, { databaseUrl, sandbox, dataDir: broker.dataDir })
  await until(() => /token ends soon/.test(again.log()))
  const { body } = await again.get('/metrics')
  t.match(body, /amo_tokens_ending\{integration="amocrm",kind="long_lived"\} 1/)
  t.match(body, /amo_tokens_ending\{integration="amocrm",kind="oauth"\} 1/)
})
