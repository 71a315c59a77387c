import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { insertAccounts, insertIntegrations } from './support/account-rows.ts'
import { CLIENT_SECRET, OPERATOR_KEY, until } from './support/broker.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { findChromium, openBrowser } from './support/chromium.ts'
import { makeClient } from './support/clients.ts'
import { openConsole, signIn, violations } from './support/console.ts'
import { query } from './support/database.ts'

const executable = findChromium()
const missing = 'no Chromium here: apt-get install chromium, or name one in TEST_CHROMIUM'
// In CI a skipped test would look like one that passed.
if (executable === undefined && process.env.CI) t.fail(missing)
const skip = executable === undefined && missing

/** Pages in the states that have most on them. */
const PAGES = ['/console', '/console/audit', '/console/audit?account=x', '/console/doctor']
const HOSTILE = 500

/** Returns texts that end attributes, elements and scripts, each with a mark to look for. */
function hostileTexts(): string[] {
  const openings = [
    '',
    '"',
    "'",
    '">',
    "'>",
    '</b>',
    '</title>',
    '-->',
    ']]>',
    '\\"',
    '&quot;',
    '`',
  ]
  const marks = [
    '<x-hostile>',
    '<img src=x x-hostile onerror=alert(1)>',
    ' x-hostile=1 ',
    ' onfocus=x-hostile autofocus ',
    '<script x-hostile>alert(1)</script>',
    '<svg/x-hostile/onload=alert(1)>',
    '\u2028<x-hostile\n>',
  ]
  const endings = ['', '"', '<!--', '<style>', '</body>', '\u202e']
  const all = openings.flatMap((opening) =>
    marks.flatMap((mark) => endings.map((ending) => opening + mark + ending)),
  )
  return Array.from({ length: HOSTILE }, (_, at) => `${all[at % all.length]}${at}`)
}

t.test('the console in a browser', { skip, buffered: true }, async (t) => {
  if (executable === undefined) return
  const { broker, databaseUrl } = await startBrokerWithSandbox(t)
  const browser = await openBrowser(t, executable)
  await insertIntegrations(databaseUrl, 'kommo')
  await insertAccounts(databaseUrl, 3, {
    status: `'reauth_required'`,
    '"lastErrorCode"': `'token_revoked'`,
    '"nextAttemptAt"': 'null',
  })
  await insertAccounts(databaseUrl, 2, { status: `'pending'` }, 2_000_000)

  for (const [width, scheme] of [
    [1280, 'light'],
    [390, 'dark'],
    [390, 'light'],
    [1280, 'dark'],
  ] as const) {
    await t.test(`${width} px, ${scheme}: accessible, nothing scrolls sideways`, async (t) => {
      const { context, page } = await openConsole(browser, broker, { width, scheme })
      const problems = listen(page)
      for (const path of PAGES) {
        await page.goto(broker.url + path)
        t.same(await violations(page), [], path)
        t.notOk(await page.evaluate('document.documentElement.scrollWidth > innerWidth'), path)
      }
      await page.getByRole('button', { name: 'Sign out' }).click()
      await page.getByText('You are signed out.').waitFor()
      t.same(await violations(page), [], 'sign-in')
      t.same(problems, [], 'no script or style was refused')
      await context.close()
    })
  }

  for (const hasJavaScript of [true, false]) {
    await t.test(`JavaScript ${hasJavaScript ? 'on' : 'off'}: every form works`, async (t) => {
      const { context, page } = await openConsole(browser, broker, { hasJavaScript })
      await page.getByRole('link', { name: 'Audit' }).click()
      await page.getByLabel('Did').fill('signIn')
      await page.getByRole('button', { name: 'Filter' }).click()
      await page.waitForURL(/action=signIn/)
      t.equal(await page.getByLabel('Did').inputValue(), 'signIn')
      t.ok((await page.locator('tbody tr').count()) > 0)
      t.notOk(await page.getByText('accountCreated').count())
      await page.getByLabel('Account id').fill('1.5')
      await page
        .locator('form.filter')
        .evaluate('(form) => { form.noValidate = true }')
        .catch(() => {})
      await page.goto(`${broker.url}/console/audit?account=1.5&actor=anna`)
      t.match(await page.locator('#field-account-error').textContent(), /integer/)
      t.equal(await page.getByLabel('Who').inputValue(), 'anna', 'what was typed stays')
      await page.getByRole('link', { name: 'Doctor' }).click()
      await until(async () => {
        await page.reload()
        return page.getByRole('button', { name: 'Examine again' }).count()
      })
      await page.getByRole('button', { name: 'Examine again' }).click()
      await page.getByText('The examination has started.').waitFor()
      await page.reload()
      t.equal(await page.getByText('The examination has started.').count(), 0, 'said once')
      await context.close()
    })
  }

  await t.test(
    'with the keyboard: the skip link first, then the navigation in order',
    async (t) => {
      const { context, page } = await openConsole(browser, broker)
      await page.goto(`${broker.url}/console`)
      const focused = () => page.evaluate<string>('document.activeElement.textContent')
      const order = []
      for (let presses = 0; presses < 4; presses += 1) {
        await page.keyboard.press('Tab')
        order.push(await focused())
      }
      t.same(order, ['Skip to the content', 'amo token broker', 'Needs a person', 'Accounts'])
      await page.keyboard.press('Shift+Tab')
      await page.keyboard.press('Shift+Tab')
      await page.keyboard.press('Shift+Tab')
      await page.keyboard.press('Enter')
      t.equal(await page.evaluate('document.activeElement.id'), 'main')
      await page.keyboard.press('Tab')
      t.ok(await page.evaluate('document.querySelector("main").contains(document.activeElement)'))
      await context.close()
    },
  )

  await t.test('an open page updates itself, and keeps the focus', async (t) => {
    const { context, page } = await openConsole(browser, broker)
    const statuses: number[] = []
    page.on('response', (response) => {
      if (response.request().headers()['hx-request']) statuses.push(response.status())
    })
    await page.goto(`${broker.url}/console`)
    const link = page.getByRole('link', { name: 'Repair' }).first()
    await link.focus()
    const href = await link.getAttribute('href')
    await page.evaluate('window.isSame = true')
    await until(() => statuses.includes(304))
    t.equal(await page.locator('h1').textContent(), '5 accounts need a person')
    await insertAccounts(databaseUrl, 1, { status: `'pending'` }, 3_000_000)
    await page.locator('h1', { hasText: '6 accounts need a person' }).waitFor()
    t.match(await page.title(), /^6 accounts need a person/)
    t.ok(await page.evaluate('window.isSame'), 'the page was not loaded again')
    t.equal(await page.evaluate('document.activeElement.getAttribute("href")'), href)
    t.ok(statuses.filter((status) => status === 200).length <= statuses.length - 1)
    await query(databaseUrl, 'delete from amo_sessions')
    await page.waitForURL(/sign-in\?ended=1&next=%2Fconsole$/)
    await context.close()
  })

  await t.test(`${HOSTILE} hostile texts make no markup`, async (t) => {
    const texts = hostileTexts()
    await insertAccounts(databaseUrl, HOSTILE, { status: `'disconnected'` }, 9_000_000)
    await query(
      databaseUrl,
      `update amo_tokens set domain = text, "lastErrorCode" = text, "lastErrorAt" = now()
       from unnest($1::text[]) with ordinality as h(text, n) where "accountId" = 9000000 + n`,
      [texts],
    )
    await query(
      databaseUrl,
      `insert into amo_account_labels (integration, "accountId", label)
       select 'amocrm', 9000000 + n, left(text, 120) from unnest($1::text[]) with ordinality as h(text, n)`,
      [texts],
    )
    const visitor = await signIn(broker)
    const { context, page } = await openConsole(browser, broker)
    const paths = ['/console?page=1', '/console/accounts', '/console/audit']
    for (const text of texts.slice(0, 20)) {
      const typed = encodeURIComponent(text)
      paths.push(`/console/audit?actor=${typed}&account=${typed}`, `/console/sign-in?next=${typed}`)
      paths.push(`/console/${typed}`, `/console/enter/${typed.slice(0, 90)}`)
    }
    for (let from = 0; from < HOSTILE; from += 10) {
      // The home page shows ten accounts: each time those that were not shown before.
      await query(
        databaseUrl,
        `update amo_tokens set status = case when "accountId" between $1 and $2
           then 'reauth_required' else 'disconnected' end
         where "accountId" between 9000001 and 9000500`,
        [9_000_001 + from, 9_000_010 + from],
      )
      await check(t, page, (await visitor.get('/console')).text, `home ${from}`)
    }
    for (const path of paths) await check(t, page, (await visitor.get(path)).text, path)
    await query(databaseUrl, `update amo_integrations set "stateReason" = $1`, [texts.join(' ')])
    await until(async () => (await visitor.get('/console')).text.includes('x-hostile'))
    await check(t, page, (await visitor.get('/console')).text, 'reason of an integration')
    await context.close()
  })

  await t.test('no page contains a secret', async (t) => {
    const key = await makeClient(broker, 'canary', 'operator')
    const token = (await broker.get('/tokens/demo')).body.access_token
    const visitor = await signIn(broker, key)
    const session = visitor.cookies.get('amo-console') ?? ''
    for (const path of [...PAGES, '/console/sign-in', '/console/accounts', '/console/nothing']) {
      const { text } = await visitor.get(path)
      for (const secret of [key, token, session, OPERATOR_KEY, CLIENT_SECRET]) {
        t.ok(secret.length > 10 && !text.includes(secret), path)
      }
    }
  })
})

/** Collects what the browser refuses to load or run. */
function listen(page: Page): string[] {
  const problems: string[] = []
  page.on('console', (message) => {
    if (/Content Security Policy|Refused/.test(message.text())) problems.push(message.text())
  })
  page.on('pageerror', ({ message }) => problems.push(message))
  return problems
}

/** Fails when a hostile text has become an element or an attribute. */
async function check(t: Test, page: Page, text: string, name: string): Promise<void> {
  const found = await page.evaluate<number>(
    `new DOMParser().parseFromString(${JSON.stringify(text)}, 'text/html')
      .querySelectorAll('x-hostile, [x-hostile], [onerror], [onload], [onfocus], main script, main style').length`,
  )
  t.equal(found, 0, name)
}
