import { createHash } from 'node:crypto'
import fc from 'fast-check'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { sendInstall } from '../src/sandbox/server-calls.ts'
import { CLIENT_ID, until } from './support/broker.ts'
import { type BrokerWithSandbox, startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { findChromium, openBrowser } from './support/chromium.ts'
import { openConsole, signIn, type Visitor, violations } from './support/console.ts'
import { query } from './support/database.ts'
import { Person } from './support/person.ts'
import { answer, startReceiver } from './support/receivers.ts'

const ONBOARDING = '/console/onboarding'

function grantee({ sandbox }: BrokerWithSandbox, subdomain: string) {
  const { directory } = sandbox.world
  const known = directory.findAccount(subdomain, 'amocrm')
  const account = known ?? sandbox.world.addAccount({ platform: 'amocrm', subdomain })
  const integration = directory.integrations.get(CLIENT_ID)
  if (integration === undefined) throw new Error('no integration')
  return { account, integration }
}

/** Returns a field that the page shows once, such as a link or a key. */
function shown(text: string, id: string): string {
  return (
    new RegExp(`<input id="${id}" value="([^"]+)"`).exec(text)?.[1]?.replaceAll('&amp;', '&') ?? ''
  )
}

/** Asserts that no cache and no poll gets hold of a page with a secret. */
function isShownOnce(t: Test, answer: Awaited<ReturnType<Visitor['get']>>): void {
  t.equal(answer.status, 200)
  t.equal(answer.headers.get('cache-control'), 'no-store')
  t.notMatch(answer.text, 'data-hx-get', 'it is not polled')
}

t.test('Onboarding', async (t) => {
  const stage = await startBrokerWithSandbox(t, { connect: false })
  const { broker, sandbox, databaseUrl } = stage
  const operator = await signIn(broker)

  await t.test('a link: shown once, followed until it ends, withdrawn', async (t) => {
    const made = await operator.post(`${ONBOARDING}/links`, {
      integration: 'amocrm',
      account: 'Demo.amocrm.ru',
    })
    isShownOnce(t, made)
    const link = shown(made.text, 'link')
    const watch = /href="(\/console\/onboarding\/links\/[^"]+)"/.exec(made.text)?.[1] ?? ''
    const state = async () => (await operator.get(watch)).text
    t.match(await state(), /<h1>The link for demo\.amocrm\.ru has not been opened yet<\/h1>/)
    t.notMatch(await state(), link.split('/').at(-1), 'its secret is not shown again')

    const person = new Person()
    await person.get(link)
    await until(async () => /was opened</.test(await state()))
    await person.finish(await person.decide(link, 'deny'))
    t.match(await state(), /<code>access_denied<\/code>/, 'a refusal is seen with its diagnosis')
    t.match((await operator.get(ONBOARDING)).text, 'access_denied')
    await person.finish(await person.decide(link, 'allow'))
    t.match(await state(), /has connected an account/)
    const { accountId } = await stage.row()
    t.match(await state(), `/console/accounts/amocrm/${accountId}`)
    t.equal((await operator.post(`${watch}/withdraw`)).status, 404, 'it is used already')

    const second = await operator.post(`${ONBOARDING}/links`, { integration: 'amocrm' })
    const other = /href="(\/console\/onboarding\/links\/[^"]+)"/.exec(second.text)?.[1] ?? ''
    t.equal((await operator.post(`${other}/withdraw`)).status, 303)
    t.equal((await person.get(shown(second.text, 'link'))).status, 404)
    t.equal((await operator.get(other)).status, 404)
  })

  await t.test('errors stand beside their field and keep what was typed', async (t) => {
    const answer = await operator.post(`${ONBOARDING}/links`, {
      integration: 'amocrm',
      account: '"><b>not an account',
      opener_origin: 'https://our.page',
    })
    t.equal(answer.status, 422)
    t.match(answer.text, /id="field-account-error" role="alert"/)
    t.match(answer.text, 'value="&quot;&gt;&lt;b&gt;not an account"')
    t.match(answer.text, 'value="https://our.page"')
  })

  await t.test('an install waits for approval, once for two operators', async (t) => {
    await query(databaseUrl, `update amo_integrations set "acceptsInstalls" = true`)
    const { account, integration } = grantee(stage, 'installed')
    await until(async () => (await sendInstall(sandbox.world, integration, account)).status === 200)
    const page = async () => (await operator.get(ONBOARDING)).text
    await until(async () => /1 account waits for approval/.test(await page()), 20_000)
    const [, action = '', seen = ''] =
      /action="([^"]+approve)"><input type="hidden" name="seen" value="([^"]+)"/.exec(
        await page(),
      ) ?? []
    t.equal((await operator.post(action, { seen })).status, 303)
    const late = await operator.post(action, { seen })
    t.equal(late.status, 409)
    t.match(late.text, 'nothing was done')
    t.equal((await broker.get('/tokens/installed')).status, 200)
  })

  await t.test('a code, by itself or in the address: exchanged once', async (t) => {
    const { account, integration } = grantee(stage, 'bycode')
    const code = sandbox.world.grants.issueCode(account, integration)
    const address = `https://x.example/callback?code=${code}&referer=bycode.amocrm.ru`
    const wrong = await operator.post(`${ONBOARDING}/code`, { integration: 'amocrm', code })
    t.equal(wrong.status, 422)
    t.match(wrong.text, /id="field-domain-error"/, 'a bare code needs the domain')
    t.notMatch(wrong.text, code)
    const sent = await operator.post(`${ONBOARDING}/code`, { integration: 'amocrm', code: address })
    t.equal(sent.status, 303)
    const path = sent.headers.get('location') ?? ''
    t.notMatch(path, code)
    const state = async () => (await operator.get(path)).text
    await until(async () => /bycode\.amocrm\.ru is connected/.test(await state()), 20_000)
    const noCode = await operator.post(`${ONBOARDING}/code`, {
      integration: 'amocrm',
      code: 'https://x.example/callback?error=access_denied',
    })
    t.match(noCode.text, 'choose “Allow”')
  })

  await t.test('an API key: refused beside the form, then connected', async (t) => {
    const { account } = grantee(stage, 'bykey')
    const form = { integration: 'amocrm', domain: 'bykey', login: 'admin@example.com' }
    const key = 'canary-api-key-123'
    const refused = await operator.post(`${ONBOARDING}/api-key`, { ...form, api_key: key })
    t.equal(refused.status, 422)
    t.match(refused.text, 'does not accept the login, the API key')
    t.match(refused.text, 'value="admin@example.com"')
    t.notMatch(refused.text, key, 'a secret is never filled in again')
    sandbox.world.directory.integrations.get(CLIENT_ID)?.installedIn.add(account.key)
    const taken = await operator.post(`${ONBOARDING}/api-key`, {
      ...form,
      api_key: 'sandbox-api-key',
    })
    t.equal(taken.status, 303)
    const path = taken.headers.get('location') ?? ''
    const state = async () => (await operator.get(path)).text
    await until(async () => /bykey\.amocrm\.ru is connected/.test(await state()), 20_000)
  })

  await t.test('a file: a report for every line, and no token in it', async (t) => {
    const { account, integration } = grantee(stage, 'byfile')
    const pair = sandbox.world.grants.mintPair(account, integration, {})
    const rows = [
      'integration,domain,access_token,refresh_token',
      `,byfile,${pair.accessToken},${pair.refreshToken}`,
      `,<i>x</i>,${'canary-access'.repeat(3)},${'canary-refresh'.repeat(3)}`,
      'amocrm,,missing-domain-token,x',
    ]
    const answer = await operator.post(`${ONBOARDING}/import`, {
      integration: 'amocrm',
      pairs: rows.join('\n'),
    })
    isShownOnce(t, answer)
    t.match(answer.text, /byfile<\/a>[\s\S]*imported/)
    t.match(answer.text, 'domain is missing')
    t.match(answer.text, '1 imported, 2 failed.')
    t.match(answer.text, '&lt;i&gt;x&lt;/i&gt;')
    t.notMatch(answer.text, /canary|<i>x/)
    t.notMatch(answer.text, pair.accessToken)
    const again = await operator.post(`${ONBOARDING}/import`, {
      integration: 'amocrm',
      pairs: rows.slice(0, 2).join('\n'),
    })
    t.match(again.text, '1 already there.')
    const headless = await operator.post(`${ONBOARDING}/import`, { pairs: 'canary-token,canary-2' })
    t.equal(headless.status, 422)
    t.match(headless.text, /id="field-file-error"/)
    t.notMatch(headless.text, 'canary')
  })
})

t.test('Integrations', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  const { broker } = stage
  const operator = await signIn(broker)
  const path = '/console/integrations/amocrm'
  const page = async () => (await operator.get(path)).text

  await t.test('pause and resume; the second operator sees what the first did', async (t) => {
    t.equal((await operator.post(`${path}/pause`)).status, 303)
    t.match(await page(), /<h1>amocrm is paused<\/h1>/)
    t.match(await page(), 'paused by operator')
    t.equal((await operator.post(`${path}/pause`)).status, 409)
    t.equal((await operator.post(`${path}/resume`)).status, 303)
    t.match(await page(), /<h1>amocrm runs<\/h1>/)
  })

  await t.test('the client secret, step by step, and it is never shown', async (t) => {
    const secret = 'canary-next-secret'
    const bad = await operator.post(`${path}/next-secret`, { next_secret: '"quoted"' })
    t.equal(bad.status, 422)
    t.match(bad.text, /id="field-next_secret-error"/)
    t.equal((await operator.post(`${path}/next-secret`, { next_secret: secret })).status, 303)
    t.match(await page(), 'Remove the next secret')
    t.notMatch(await page(), secret)
    t.equal((await operator.post(`${path}/next-secret/remove`)).status, 303)
    t.notMatch(await page(), 'Remove the next secret')
  })

  await t.test('the redirect URI: byte for byte, tested from here', async (t) => {
    const uri = `${broker.publicUrl}/api/v1/integrations/amo-crm/callback`
    t.match(await page(), `<pre>${uri}</pre>`)
    t.match((await operator.post(`${path}/test-redirect`)).text, 'leads to a broker')
  })

  await t.test('settings: refused beside the field, saved, refused when they moved', async (t) => {
    const form = { client_id: CLIENT_ID, redirect_uri: 'https://elsewhere.example/x' }
    const moved = await operator.post(path, form)
    t.equal(moved.status, 422, 'another address needs the secret')
    t.match(moved.text, /id="field-client_secret-error"/)
    t.match(moved.text, 'value="https://elsewhere.example/x"')
    const redirect_uri = `${broker.publicUrl}/api/v1/integrations/amo-crm/callback`
    const [, seen = ''] = /name="seen" value="([^"]+)"/.exec(await page()) ?? []
    const change = { client_id: CLIENT_ID, redirect_uri, accepts_installs: 'true', seen }
    t.equal((await operator.post(path, change)).status, 303)
    t.match((await broker.get('/integrations/amocrm')).body, { accepts_installs: true })
    t.equal((await operator.post(path, change)).status, 409)
  })

  await t.test('a new one, its button, and its removal', async (t) => {
    const redirect_uri = `${broker.publicUrl}/integrations/kommo/callback`
    const form = { name: 'kommo-2', provider: 'kommo', client_id: 'a-client', redirect_uri }
    const incomplete = await operator.post('/console/integrations', form)
    t.match(incomplete.text, /id="field-client_secret-error"[^>]*>Fill this in\./)
    const complete = { ...form, client_secret: 'canary-secret', kommo_guide: 'true' }
    t.equal((await operator.post('/console/integrations', complete)).status, 303)
    t.match((await broker.get('/integrations/kommo-2')).body.profile, {
      token_url: 'https://kommo.com/oauth/token',
      authorize_parameters: { redirect_uri: '{redirect_uri}', response_type: 'code' },
      encoding: 'form',
    })
    const twice = await operator.post('/console/integrations', complete)
    t.equal(twice.status, 422)
    t.match(twice.text, /id="field-name-error"/)
    const one = '/console/integrations/kommo-2'
    const button = await operator.post(`${one}/button`, { title: '"><b>Connect' })
    isShownOnce(t, button)
    t.match(button.text, 'data-client-id=&quot;a-client&quot;')
    t.notMatch(button.text, /<b>Connect|canary/)
    const external = await operator.post('/console/external-button', {
      ...{ provider: 'kommo', redirect_uri, name: 'Our bridge' },
    })
    isShownOnce(t, external)
    t.match(external.text, `${broker.publicUrl}/hooks/secrets`)
    t.match((await operator.get(`${one}/remove`)).text, 'Remove kommo-2?')
    t.equal((await operator.post(`${one}/remove`)).status, 303)
    t.equal((await operator.get(one)).status, 404)
    const used = await operator.post(`${path}/remove`)
    t.equal(used.status, 422)
    t.match(used.text, /has 1 accounts/)
  })

  await t.test('the pace: refused beside the field, saved', async (t) => {
    const wrong = await operator.post(`${path}/pace`, { pace_per_second: '0' })
    t.equal(wrong.status, 422)
    t.match(wrong.text, /id="field-pace_per_second-error"/)
    t.equal((await operator.post(`${path}/pace`, { pace_per_second: '7.5' })).status, 303)
    t.match((await broker.get('/integrations/amocrm')).body, { pace_per_second: 7.5 })
  })

  await t.test('refusals of the day, by code', async (t) => {
    await broker.post('/accounts/demo/check', undefined)
    stage.sandbox.world.faults.set([{ fault: 'too_many_requests', endpoint: 'token', times: 1 }])
    await stage.makeDue()
    await until(async () => /rate_limited/.test(await page()), 20_000)
    const probes = `select from amo_refresh_attempts where "outcomeCode" = 'checked'`
    t.ok((await query(stage.databaseUrl, probes)).length > 0)
    t.notMatch(await page(), '<code>checked</code>', 'a probe is no refusal')
  })

  await t.test('an altered row is explained', async () => {
    await query(
      stage.databaseUrl,
      `update amo_integrations set "redirectUri" = 'https://evil.example/x'`,
    )
    await until(async () => /was altered in the database/.test(await page()), 20_000)
  })
})

t.test('Clients and grants', async (t) => {
  const stage = await startBrokerWithSandbox(t)
  const { broker } = stage
  const operator = await signIn(broker)
  const path = '/console/clients/shop'
  const read = async (key: string) => {
    const headers = { authorization: `Bearer ${key}` }
    return (await fetch(`${broker.url}/tokens/demo`, { headers })).status
  }

  await t.test('a client: its key is shown once and works; never read is said', async (t) => {
    const wrong = await operator.post('/console/clients', {
      ...{ name: 'shop', role: 'reader', grants: 'amocrm/demo\nnonsense' },
    })
    t.equal(wrong.status, 422)
    t.match(wrong.text, /id="field-grants-error"[^>]*>Line 2 is no grant/)
    t.match(wrong.text, 'amocrm/demo\nnonsense</textarea>')
    const made = await operator.post('/console/clients', {
      ...{ name: 'shop', role: 'reader', grants: 'amocrm/demo', expires_in_days: '3' },
    })
    isShownOnce(t, made)
    const key = shown(made.text, 'key')
    t.match((await operator.get(path)).text, 'never read')
    t.match((await operator.get('/console/clients')).text, /ends <time[\s\S]*soon/)
    t.equal(await read(key), 200)
    await until(async () => !/never read/.test((await operator.get(path)).text), 30_000)
    for (const page of [path, '/console/clients', `${path}/revoke`]) {
      const { text } = await operator.get(page)
      t.notMatch(text, key, page)
      t.notMatch(text, createHash('sha256').update(key).digest('hex'), page)
    }
    const twice = await operator.post('/console/clients', { name: 'shop', role: 'monitor' })
    t.match(twice.text, /id="field-name-error"/)

    await t.test('a second key, and the end of the first', async (t) => {
      const added = await operator.post(`${path}/keys`, { overlap_hours: '1' })
      isShownOnce(t, added)
      const second = shown(added.text, 'key')
      t.same([await read(key), await read(second)], [200, 200])
      const [, id = ''] = /amo_broker_([0-9a-f]{10})/.exec(key) ?? []
      t.equal((await operator.post(`${path}/keys/${id}/end`)).status, 303)
      t.same([await read(key), await read(second)], [401, 200])
    })

    await t.test('grants: replaced, but not over those of another operator', async (t) => {
      const { accountId } = await stage.row()
      t.match(
        (await operator.get('/console/clients?account=demo')).text,
        'a grant for this account',
      )
      const [, seen = ''] =
        /name="seen" value="([^"]+)"/.exec((await operator.get(path)).text) ?? []
      t.equal((await operator.post(`${path}/grants`, { grants: 'amocrm/*', seen })).status, 303)
      const late = await operator.post(`${path}/grants`, { grants: `amocrm/${accountId}`, seen })
      t.equal(late.status, 409)
      t.match(late.text, 'nothing was done')
      t.match((await operator.get('/console/clients?account=demo')).text, 'all accounts of amocrm')
      t.match((await operator.get('/console/clients?account=%3Cb%3E')).text, '&lt;b&gt;')
    })

    await t.test('revoked for good', async (t) => {
      t.match((await operator.get(`${path}/revoke`)).text, /last read a token/)
      t.equal((await operator.post(`${path}/revoke`)).status, 303)
      t.equal((await operator.get(path)).status, 404)
      t.match((await operator.get('/console/clients')).text, 'revoked')
    })
  })
})

t.test('Endpoints', async (t) => {
  const receiver = await startReceiver(t)
  const { broker, databaseUrl } = await startBrokerWithSandbox(t, {
    env: { ENDPOINTS_ALLOW_PRIVATE: 'true' },
  })
  const operator = await signIn(broker)
  const path = '/console/endpoints/crm'
  const page = async () => (await operator.get(path)).text
  const form = { name: 'crm', kind: 'webhook', language: 'en' }
  const url = `${receiver.origin}/hook/canary-path`

  await t.test('a webhook: its secret is shown once, its address never', async (t) => {
    const wrong = await operator.post('/console/endpoints', { ...form, url, types: 'account.lost' })
    t.equal(wrong.status, 422)
    t.match(wrong.text, /id="field-types-error"/)
    const missing = await operator.post('/console/endpoints', form)
    t.match(missing.text, /id="field-url-error"/)
    const made = await operator.post('/console/endpoints', { ...form, url })
    isShownOnce(t, made)
    const secret = shown(made.text, 'secret')
    t.match(secret, /^whsec_/)
    for (const text of [
      wrong.text,
      await page(),
      (await operator.get('/console/endpoints')).text,
    ]) {
      t.notMatch(text, secret)
      t.notMatch(text, 'canary')
    }
    t.match(await page(), receiver.origin)
    const renewed = await operator.post(`${path}/rotate-secret`)
    isShownOnce(t, renewed)
    t.not(shown(renewed.text, 'secret'), secret)
    t.match(await page(), 'signed with both secrets')
  })

  await t.test('deliveries with their response codes, and again', async (t) => {
    receiver.respond(answer(503, '<b>down</b>'))
    t.equal((await operator.post(`${path}/test`)).status, 303)
    await until(async () => /Answered 503/.test(await page()), 20_000)
    receiver.respond(answer(200))
    await until(async () => /Answered 200/.test(await page()), 60_000)
    const [, again = ''] = /action="([^"]+resend)"/.exec(await page()) ?? []
    const before = receiver.received.length
    t.equal((await operator.post(again)).status, 303)
    await until(() => receiver.received.length > before, 20_000)
    t.notMatch((await operator.get(`${path}?state=failed`)).text, 'Answered 200')
  })

  await t.test('settings, off and on, removed', async (t) => {
    t.equal((await operator.post(path, { language: 'ru', types: 'account.connected' })).status, 303)
    t.match((await broker.get('/endpoints/crm')).body, { types: ['account.connected'] })
    t.equal((await operator.post(`${path}/disable`)).status, 303)
    t.match(await page(), /<h1>crm is disabled<\/h1>/)
    await query(
      databaseUrl,
      `update amo_endpoints set "disabledReason" = 'failing' where name = 'crm'`,
    )
    const home = async () => (await operator.get('/console')).text
    await until(async () => /The endpoint crm gets no events\./.test(await home()), 20_000)
    t.match(await home(), 'href="/console/endpoints/crm"')
    t.match(await home(), /<h1>No account needs a person, but there (?:is one|are \d+) warning/)
    t.equal((await operator.post(`${path}/enable`)).status, 303)
    t.match(await page(), /<h1>crm receives its events<\/h1>/)
    t.match((await operator.get(`${path}/remove`)).text, 'Remove crm?')
    t.equal((await operator.post(`${path}/remove`)).status, 303)
    t.equal((await operator.get(path)).status, 404)
  })
})

/** Texts that break out of elements, attributes, comments and scripts, and random ones. */
function hostileTexts(count: number): string[] {
  const known = [
    '<script>alert(1)</script>',
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    '</textarea><b>',
    '</title><b>',
    '--><b>',
    ']]><b>',
    '&lt;b&gt;<b>&amp;',
    'javascript:alert(1)',
    '{{constructor}}',
    '" onfocus="alert(1)" autofocus="',
    '<!-- rows -->',
    '\u202E<b>evil</b>',
    '<b\u2028onclick=x>',
  ]
  const random = fc.sample(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }), count)
  const texts = [...known, ...random.map((text) => `<b>${text}`)]
  return texts.filter((text) => !text.includes('\0') && text.isWellFormed()).slice(0, count)
}

/** Returns what a page contains that no view wrote. */
function foreignMarkup(page: string): string[] {
  const tags = [...page.matchAll(/<\/?([^\s>/]*)([^>]*)/g)]
  // In quotes everything but a quote is text, and views escape quotes.
  const isHandler = (rest: string) => /\son\w+\s*=/.test(rest.replace(/"[^"]*"/g, '""'))
  return tags
    .filter(([, name = '', rest = '']) => !TAGS.has(name.toLowerCase()) || isHandler(rest))
    .map(([whole]) => whole)
}

const TAGS = new Set(
  '!doctype html head meta title link script body a header nav form input button main h1 h2 h3 section div p b small code span time br table thead tbody tr th td dl dt dd ul ol li label select option textarea details summary pre'.split(
    ' ',
  ),
)

t.test('500 hostile texts in hosts, domains, outcomes and accounts: no markup', async (t) => {
  const { broker, databaseUrl } = await startBrokerWithSandbox(t, { connect: false })
  const operator = await signIn(broker)
  const texts = hostileTexts(500)
  t.equal(texts.length, 500)
  for (let from = 0; from < texts.length; from += 50) {
    const batch = texts.slice(from, from + 50)
    const inbox = await query(
      databaseUrl,
      `insert into amo_inbox (kind, origin, integration, fingerprint, referer, domain, outcome, "finishedAt")
       select 'callback', 'manual', 'amocrm', gen_random_uuid()::text, text, text, left(text, 40), now()
       from unnest($1::text[]) as text returning id`,
      [batch],
    )
    const links = await query(
      databaseUrl,
      `insert into amo_connect_links ("tokenHash", integration, mode, "expectedAccount", "createdBy", "expiresAt")
       select gen_random_uuid()::text, 'amocrm', 'popup', text, 'shop', now() + interval '1 day'
       from unnest($1::text[]) as text returning id`,
      [batch],
    )
    const paths = ['', `/callbacks/${inbox[0]?.id}`, `/links/${links[0]?.id}`]
    for (const path of paths) {
      const { status, text } = await operator.get(ONBOARDING + path)
      t.equal(status, 200)
      t.same(foreignMarkup(text), [], path)
    }
  }
  for (const text of texts.slice(0, 20)) {
    const fields = { integration: text, account: text, opener_origin: text }
    const forms = [
      operator.post(`${ONBOARDING}/links`, fields),
      operator.post(`${ONBOARDING}/import`, {
        pairs: `domain,access_token\n"${text}",x`,
        integration: 'amocrm',
      }),
      operator.post('/console/clients', { name: text, role: 'reader', grants: text }),
      operator.post('/console/integrations', {
        name: text,
        provider: 'kommo',
        client_id: text,
        redirect_uri: text,
        scopes: text,
      }),
      operator.get(`/console/clients?account=${encodeURIComponent(text)}`),
    ]
    for (const { text: page } of await Promise.all(forms)) t.same(foreignMarkup(page), [])
  }
})

const executable = findChromium()
const skip = executable === undefined && 'no Chromium here'

for (const hasJavaScript of [true, false]) {
  const title = `in Chromium, ${hasJavaScript ? 'with' : 'without'} JavaScript`
  t.test(`the main actions ${title}`, { skip }, async (t) => {
    if (executable === undefined) return
    const stage = await startBrokerWithSandbox(t, {
      connect: false,
      env: { ENDPOINTS_ALLOW_PRIVATE: 'true' },
    })
    const { broker, sandbox } = stage
    const browser = await openBrowser(t, executable)
    const { page } = await openConsole(browser, broker, { hasJavaScript })
    const menu = (name: string) => page.getByRole('navigation').getByRole('link', { name }).click()
    const heading = (text: string | RegExp) =>
      page.getByRole('heading', { level: 1, name: text }).waitFor()

    await t.test('a link, and how it ends', async () => {
      await menu('Onboarding')
      await page.getByLabel('Account').first().fill('demo.amocrm.ru')
      await page.getByRole('button', { name: 'Make the link' }).click()
      const link = await page.getByLabel('Link', { exact: true }).inputValue()
      await page.getByRole('link', { name: 'Watch how it ends' }).click()
      await heading(/has not been opened yet/)
      const person = new Person()
      await person.finish(await person.decide(link, 'allow'))
      if (!hasJavaScript) await page.reload()
      await heading(/has connected an account/)
    })

    await t.test('a file of pairs', async (t) => {
      const { account, integration } = grantee(stage, 'byfile')
      const pair = sandbox.world.grants.mintPair(account, integration, {})
      await page.goto(`${broker.url}/console/onboarding`)
      await page.getByRole('link', { name: 'Import token pairs' }).click()
      const text = `domain,access_token,refresh_token\nbyfile,${pair.accessToken},${pair.refreshToken}\n`
      const file = { name: 'pairs.csv', mimeType: 'text/csv', buffer: Buffer.from(text) }
      await page.getByLabel('File').setInputFiles(file)
      await page.getByLabel(/Integration of lines/).selectOption('amocrm')
      await page.getByRole('button', { name: 'Import' }).click()
      await page.getByText('1 imported.').waitFor()
      t.equal((await broker.get('/tokens/byfile')).status, 200)
    })

    await t.test('an integration is paused and resumed', async () => {
      await menu('Integrations')
      await page.getByRole('link', { name: 'amocrm' }).first().click()
      await page.getByRole('button', { name: 'Pause' }).click()
      await heading('amocrm is paused')
      await page.getByRole('button', { name: 'Resume' }).click()
      await heading('amocrm runs')
    })

    await t.test('an endpoint gets a secret', async (t) => {
      await menu('Endpoints')
      await page.getByLabel('Name', { exact: true }).fill('hook')
      await page.getByLabel(/^URL/).fill('http://127.0.0.1:9/hook')
      await page.getByRole('button', { name: 'Create the endpoint' }).click()
      await heading('The signing secret of hook')
      t.match(await page.getByLabel('Signing secret').inputValue(), /^whsec_/)
    })

    await t.test('a client gets a key', async (t) => {
      await menu('Clients')
      await page.getByLabel('Name').fill('shop')
      await page.getByLabel('Grants').fill('amocrm/*')
      await page.getByRole('button', { name: 'Create the client' }).click()
      await heading('The key of shop')
      t.match(await page.getByLabel(/^Key /).inputValue(), /^amo_broker_/)
      if (hasJavaScript) await isReadable(t, page)
    })
  })
}

/**
 * Asserts that every field has a label, that nothing is wider than the page, and what axe checks:
 * every second page in the dark, on a phone.
 */
async function isReadable(t: Test, page: Page): Promise<void> {
  const unlabelled = `[...document.querySelectorAll('input:not([type=hidden]), select, textarea')]
    .filter((field) => field.labels.length === 0).map((field) => field.name)`
  const paths = ['onboarding', 'onboarding/code', 'onboarding/api-key', 'onboarding/import']
  const more = [
    'integrations',
    'integrations/amocrm',
    'external-button',
    'clients',
    'clients/shop',
    'endpoints',
    'endpoints/hook',
  ]
  const origin = new URL(page.url()).origin
  for (const [index, path] of [...paths, ...more].entries()) {
    const isDark = index % 2 === 1
    await page.emulateMedia({ colorScheme: isDark ? 'dark' : 'light' })
    for (const width of isDark ? [1280, 390] : [390, 1280]) {
      await page.setViewportSize({ width, height: 900 })
      await page.goto(`${origin}/console/${path}`)
      t.same(await page.evaluate(unlabelled), [], `${path}: labels`)
      const wide = Number(await page.evaluate('document.documentElement.scrollWidth'))
      t.ok(wide <= width, `${path} at ${width}: ${wide}`)
    }
    t.same(await violations(page), [], `${path}: accessible`)
  }
}
