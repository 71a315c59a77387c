import t, { type Test } from 'tap'
import { clockTag } from '../src/http/console/times.ts'
import { insertAccounts } from './support/account-rows.ts'
import { OPERATOR_KEY, until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { findChromium, openBrowser } from './support/chromium.ts'
import { ask, makeClient } from './support/clients.ts'
import { openConsole, signIn } from './support/console.ts'
import { query } from './support/database.ts'

const DEAD = {
  status: `'reauth_required'`,
  '"lastErrorCode"': `'spent_elsewhere'`,
  '"lastErrorAt"': 'now()',
  '"nextAttemptAt"': 'null',
  '"accessDeadAt"': 'now()',
}

async function startStage(t: Test) {
  const stage = await startBrokerWithSandbox(t)
  const { broker, databaseUrl } = stage
  await insertAccounts(databaseUrl, 3, DEAD)
  const { account_id: id } = (await broker.get('/accounts/demo')).body
  const demo = `/console/accounts/amocrm/${id}`
  const patch = (name: string | number, label: string) =>
    ask(
      broker.url,
      'PATCH',
      `/accounts/${name}`,
      { authorization: `Bearer ${OPERATOR_KEY}` },
      { label },
    )
  return { ...stage, id: Number(id), demo, patch }
}

/** Returns the hidden fields of the form with this action. */
function fieldsOf(text: string, action: string): Record<string, string> {
  const [, form = ''] =
    new RegExp(`<form[^>]*action="${action}"[^>]*>([^]*?)</form>`).exec(text) ?? []
  const inputs = form.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)">/g)
  return Object.fromEntries(Array.from(inputs, ([, name = '', value = '']) => [name, value]))
}

t.test('times: the day is named where the clock alone would mislead', (t) => {
  const now = new Date('2026-11-26T08:46:00Z')
  for (const [time, text] of [
    ['2026-11-26T14:02:59Z', '14:02 UTC'],
    ['2026-11-27T08:45:00Z', 'tomorrow, 08:45 UTC'],
    ['2026-11-27T08:47:00Z', '27 Nov'],
    ['2026-11-25T23:00:00Z', 'yesterday, 23:00 UTC'],
    ['2025-11-26T08:46:00Z', '26 Nov 2025'],
  ] as const) {
    t.match(clockTag(new Date(time), now).toString(), `>${text}</time>`, time)
  }
  t.end()
})

t.test('the pages Accounts and One account', async (t) => {
  const stage = await startStage(t)
  const { broker, databaseUrl, demo, id, patch } = stage
  const one = await signIn(broker)
  const two = await signIn(broker)

  await t.test(
    'the list: counts, search, filters, the error, and what is not understood',
    async (t) => {
      const { status, text } = await one.get('/console/accounts')
      t.equal(status, 200)
      t.match(text, '<h1>4 accounts</h1>')
      t.match(text, 'Needs a new consent <span class="muted">3</span>')
      t.match(text, 'another service spent the refresh token')
      const dead = (await one.get('/console/accounts?status=reauth_required')).text
      t.match(dead, '<h1>3 accounts need a new consent</h1>')
      t.notMatch(dead, 'demo.amocrm.ru')
      t.match((await one.get('/console/accounts?q=demo&error=&order=expiry')).text, demo)
      t.match((await one.get('/console/accounts?q=nothing')).text, 'No account matches')
      for (const search of ['status=x', 'order=x', 'after=x', 'error=%27', 'warning=x&flag=x']) {
        t.equal((await one.get(`/console/accounts?${search}`)).status, 200, search)
      }
    },
  )

  await t.test('one account: sentences, scopes, timeline with its steps', async (t) => {
    await stage.makeDue(id)
    await until(async () => (await one.get(demo)).text.includes('response stored and committed'))
    const { status, text } = await one.get(demo)
    t.equal(status, 200)
    t.match(text, '<h1>demo.amocrm.ru is active</h1>')
    t.match(text, /Active\. The token is valid until .*, promised until/s)
    t.match(text, 'The next refresh is at about')
    t.match(text, /claimed by replica [0-9a-f]{8} · sent.* · response stored and committed/s)
    t.match(text, /<dt>Scopes<\/dt>/)
    const failures = await one.get(`${demo}?failures=true`)
    t.match(failures.text, 'No failure is recorded')
    const dead = (await one.get('/console/accounts/amocrm/1000001')).text
    t.match(dead, 'has to consent again: send them a reconnect link')
    t.notMatch(dead, /(?:POST|GET) \//, 'a page names no call of the API')
    t.equal((await one.get('/console/accounts/amocrm/x')).status, 400)
  })

  await t.test('hostile labels: on no page markup', async (t) => {
    for (const label of [`<script>alert(1)</script>`, `"><img src=x onerror=y>`, `'-"<b>&amp;`]) {
      await patch('demo', label)
      for (const path of ['/console/accounts', demo, `${demo}/label`, `${demo}/remove`]) {
        const { text } = await one.get(path)
        t.notMatch(text, /<script>alert|<img|<b>&amp;amp/, path)
      }
    }
    await patch('demo', 'Ромашка')
    t.match((await one.get('/console/accounts?q=ромаш')).text, 'Ромашка')
  })

  await t.test(
    'two operators: the second sees what the first did, nothing is done twice',
    async (t) => {
      const seen = fieldsOf((await one.get(demo)).text, `${demo}/pause`)
      t.ok(seen.seen)
      const first = await one.post(`${demo}/pause`, seen)
      t.match(first, { status: 303 })
      t.match((await one.get(demo)).text, 'Paused. Services get the token')
      const second = await two.post(`${demo}/pause`, seen)
      t.equal(second.status, 409)
      t.match(second.text, 'nothing was done')
      t.match(second.text, 'Paused by operator.')
      t.match(second.text, '<h1>demo.amocrm.ru is paused</h1>')
      const acts = await query(
        databaseUrl,
        `select outcome from amo_audit where action = 'pauseAccount' order by id`,
      )
      t.same(acts, [{ outcome: 'done' }, { outcome: 'moved' }])
      const again = fieldsOf((await two.get(demo)).text, `${demo}/resume`)
      t.equal((await two.post(`${demo}/resume`, again)).status, 303)
      t.equal((await broker.get('/accounts/demo')).body.paused, false)
    },
  )

  await t.test('label: an error stands beside the field and keeps what was typed', async (t) => {
    const fields = fieldsOf((await one.get(`${demo}/label`)).text, `${demo}/label`)
    const wrong = await one.post(`${demo}/label`, { ...fields, label: 'x'.repeat(121) })
    t.equal(wrong.status, 422)
    t.match(wrong.text, `value="${'x'.repeat(121)}"`)
    t.match(wrong.text, 'aria-invalid="true"')
    t.equal((await one.post(`${demo}/label`, { ...fields, label: 'Acme' })).status, 303)
    const late = await two.post(`${demo}/label`, { ...fields, label: 'Other' })
    t.equal(late.status, 409)
    t.match(late.text, 'The label is now <b>Acme</b>')
    t.match(late.text, 'value="Other"', 'what was typed is kept')
    const now = fieldsOf((await two.get(`${demo}/label`)).text, `${demo}/label`)
    t.equal((await two.post(`${demo}/label`, { ...now, label: '' })).status, 303)
    t.equal((await broker.get('/accounts/demo')).body.label, null)
  })

  await t.test('check, and a check of several', async (t) => {
    const { text } = await one.post(`${demo}/check`)
    t.match(text, '<h1>The token of demo.amocrm.ru works</h1>')
    const several = await one.post('/console/accounts/check', { accounts: `amocrm/${id}` })
    t.match(several.text, 'One account checked')
    t.match((await one.post('/console/accounts/check')).text, 'No account is selected')
    const refused = await one.post('/console/accounts/amocrm/1000001/check')
    t.equal(refused.status, 409)
    t.match(refused.text, 'needs a new consent')
  })

  await t.test('reconnect links: shown once, as CSV without formulas', async (t) => {
    await patch(1_000_001, '=HYPERLINK("http://evil.example")')
    const link = await one.post('/console/accounts/amocrm/1000001/link')
    t.match(link.headers.get('cache-control'), 'no-store')
    const [, url] = /value="(http[^"]+\/connect\/[^"]+)"/.exec(link.text) ?? []
    t.ok(url)
    t.match(link.text, /<svg role="img" aria-label="QR code/)
    t.notMatch(link.text, 'data-hx-get')
    const keys = new URLSearchParams(
      [1, 2, 3].map((n): [string, string] => ['accounts', `amocrm/100000${n}`]),
    )
    const csv = await one.post('/console/accounts/links.csv', keys)
    t.match(csv.headers.get('content-type'), 'text/csv')
    const lines = csv.text.trim().split('\r\n')
    t.equal(lines.length, 4)
    t.match(lines[1], `"'=HYPERLINK`)
    t.ok(lines[1]?.endsWith(url ?? '-'), 'the same link for a week')
    const pages = [await one.get('/console/accounts'), await one.get(demo)]
    for (const { text } of pages) t.notMatch(text, '/connect/')
  })

  await t.test('pause of several, and back to the same list', async (t) => {
    const keys = new URLSearchParams([
      ['accounts', 'amocrm/1000001'],
      ['accounts', 'amocrm/1000002'],
      ['back', '/console/accounts?status=reauth_required'],
    ])
    const { status, headers } = await one.post('/console/accounts/pause', keys)
    t.equal(status, 303)
    t.equal(headers.get('location'), '/console/accounts?status=reauth_required')
    t.match((await one.get('/console/accounts')).text, '2 accounts paused.')
    await one.post('/console/accounts/pause', keys)
    t.match(
      (await one.get('/console/accounts')).text,
      'No account paused. 2 accounts already paused.',
    )
    keys.set('back', 'https://evil.example/')
    const foreign = await one.post('/console/accounts/resume', keys)
    t.equal(foreign.headers.get('location'), '/console/accounts')
  })

  await t.test(
    'a monitor sees states and timelines, and neither clients, audit nor forms',
    async (t) => {
      const monitor = await signIn(broker, await makeClient(broker, 'grafana', 'monitor', []))
      const list = (await monitor.get('/console/accounts')).text
      t.match(list, 'demo.amocrm.ru')
      const { text } = await monitor.get(`${demo}?unfolded=true`)
      t.match(text, 'response stored and committed')
      t.notMatch(text, /Who reads it|by operator|<form(?![^>]*(?:sign-out|method="get"))/)
      t.equal((await monitor.get(`${demo}/remove`)).status, 403)
    },
  )

  await t.test('remove: who reads it first; a page that is gone explains that', async (t) => {
    const key = await makeClient(broker, 'shop', 'reader', [
      { integration: 'amocrm', account: '*' },
    ])
    await ask(broker.url, 'GET', '/tokens/demo', { authorization: `Bearer ${key}` })
    await until(async () => (await one.get(`${demo}/remove`)).text.includes('>shop</a>'))
    const ask1 = await one.get(`${demo}/remove`)
    t.match(ask1.text, 'Services use this account')
    const seen = fieldsOf(ask1.text, `${demo}/remove`)
    const [first, second] = await Promise.all([
      one.post(`${demo}/remove`, seen),
      two.post(`${demo}/remove`, seen),
    ])
    t.same([first.status, second.status].toSorted(), [303, 404], 'removed once')
    const gone = await two.get(demo)
    t.equal(gone.status, 404)
    t.match(gone.text, 'This account was removed')
    t.match(gone.text, 'Removed by operator.')
    t.equal((await two.post(`${demo}/pause`, seen)).status, 404)
    t.match((await one.get('/console/accounts/amocrm/424242')).text, 'It was never\nconnected')
    const acts = await query(
      databaseUrl,
      `select from amo_audit where action = 'removeAccount' and outcome = 'done'`,
    )
    t.equal(acts.length, 1)
  })

  await t.test('clean-up: shows first, removes what still is so', async (t) => {
    await query(
      databaseUrl,
      `update amo_tokens set "statusSince" = now() - interval '100 days' where "accountId" in (1000001, 1000002)`,
    )
    const { text } = await one.get('/console/clean')
    t.match(text, '<h1>2 accounts have had no use for 90 days</h1>')
    t.match((await one.get('/console/clean?days=101')).text, 'Nothing to clean up')
    await query(databaseUrl, `update amo_tokens set status = 'active' where "accountId" = 1000002`)
    const keys = new URLSearchParams([
      ['accounts', 'amocrm/1000001'],
      ['accounts', 'amocrm/1000002'],
      ['days', '90'],
    ])
    t.equal((await one.post('/console/clean', keys)).status, 303)
    t.match((await one.get('/console/clean')).text, '1 removed, with their tokens. 1 left alone')
  })
})

const chromium = findChromium()

t.test(
  'from sign-in to a copied reconnect link in three clicks, with and without JavaScript',
  { skip: chromium === undefined && 'no Chromium' },
  async (t) => {
    const stage = await startStage(t)
    const browser = await openBrowser(t, chromium ?? '')
    for (const hasJavaScript of [true, false]) {
      const width = hasJavaScript ? 1280 : 390
      const { context, page } = await openConsole(browser, stage.broker, {
        hasJavaScript,
        width,
      })
      if (hasJavaScript) await context.grantPermissions(['clipboard-read', 'clipboard-write'])
      const clicks = [
        page.getByRole('link', { name: 'Accounts' }).first(),
        page.getByRole('button', { name: /^Reconnect link for / }).first(),
      ]
      for (const target of clicks) {
        await target.click()
        await page.waitForLoadState()
      }
      const field = page.getByLabel('Reconnect link', { exact: true })
      const url = await field.inputValue()
      t.match(url, /\/connect\/[\w-]{20,}$/)
      if (hasJavaScript) {
        await page.getByRole('button', { name: 'Copy' }).click()
        await page.getByRole('button', { name: 'Copied' }).waitFor()
        t.equal(await page.evaluate('navigator.clipboard.readText()'), url, 'three clicks')
      } else {
        await field.click()
        t.ok(await page.getByRole('img', { name: /QR code/ }).isVisible(), 'or a camera')
      }
      const wide = await page.evaluate('document.documentElement.scrollWidth - innerWidth')
      t.ok(Number(wide) <= 0, `fits ${width} px`)
      await context.close()
    }
  },
)
