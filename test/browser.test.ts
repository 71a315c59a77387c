import { once } from 'node:events'
import { createServer } from 'node:http'
import type { BrowserContext, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { findChromium, openBrowser } from './support/chromium.ts'
import { type Stage, setStage } from './support/stage.ts'

const executable = findChromium()
const missing = 'no Chromium here: apt-get install chromium, or name one in TEST_CHROMIUM'
// Where nobody reads the reason, a test that did not run must not pass for one that did.
if (executable === undefined && process.env.CI) t.fail(missing)

/** A sibling's page that opens the consent in a window, and writes down what it is told. */
async function openerPage(
  t: Test,
  browser: BrowserContext,
): Promise<{ page: Page; origin: string }> {
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html')
    response.end(`<h1>a page of ours</h1><script>
      const told = []
      addEventListener('message', ({ origin, data }) => told.push({ origin, data }))
    </script>`)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const origin = `http://127.0.0.1:${(server.address() as { port: number }).port}`
  const page = await browser.newPage()
  await page.goto(origin)
  return { page, origin }
}

async function orderLink({ broker }: Stage, order: object): Promise<string> {
  const { status, body } = await broker.post('/connect-links', { integration: 'amocrm', ...order })
  if (status !== 201) throw new Error(`no link: ${JSON.stringify(body)}`)
  return body.url
}

/** The window that the page opens with this link. */
async function openWindow(page: Page, url: string): Promise<Page> {
  const opened = page.waitForEvent('popup')
  await page.evaluate(`open(${JSON.stringify(url)})`)
  return opened
}

/** As a person: chooses the account, and one of the two buttons (allow, deny). */
async function decide(consent: Page, button: 'allow' | 'deny'): Promise<void> {
  await consent.locator('#account').selectOption('demo')
  await consent.locator(`button[value="${button}"]`).click()
}

const skip = executable === undefined && missing
t.test('consent in a browser', { skip, buffered: true }, async (t) => {
  if (executable === undefined) return
  const stage = await setStage(t, { connect: false })
  const { broker, sandbox } = stage
  const browser = await openBrowser(t, executable)
  browser.setDefaultTimeout(20_000)

  for (const mode of ['popup', 'post_message']) {
    await t.test(`${mode}, the link opened by itself: the page says how it ended`, async (t) => {
      const page = await browser.newPage()
      await page.goto(await orderLink(stage, { mode }))
      t.equal(new URL(page.url()).origin, sandbox.origin, 'the provider asks')
      await decide(page, 'allow')
      await page.locator('h1', { hasText: 'demo.amocrm.ru is connected' }).waitFor()
      t.match(
        new URL(page.url()).pathname,
        /^\/onboarding\/[\w-]+$/,
        'no code stays in the address',
      )
      t.equal((await broker.get('/tokens/demo')).status, 200)
      await page.close()
    })

    await t.test(`${mode}, denied: the page says so, with the remedy`, async () => {
      const page = await browser.newPage()
      await page.goto(await orderLink(stage, { mode }))
      await decide(page, 'deny')
      await page.locator('h1', { hasText: 'Access was not allowed' }).waitFor()
      await page.locator('.remedy', { hasText: 'as an administrator' }).waitFor()
      await page.close()
    })
  }

  await t.test(
    'popup, opened by a page: that page ends at the outcome, the window closes',
    async (t) => {
      const { page } = await openerPage(t, browser)
      const consent = await openWindow(page, await orderLink(stage, { mode: 'popup' }))
      const closed = consent.waitForEvent('close')
      await decide(consent, 'allow')
      await closed
      await page.locator('h1', { hasText: 'demo.amocrm.ru is connected' }).waitFor()
    },
  )

  await t.test('post_message, opened by a page: that page is told, and no other', async (t) => {
    const { page, origin } = await openerPage(t, browser)
    const told = () => page.evaluate('told')
    const order = { mode: 'post_message', opener_origin: origin }
    const consent = await openWindow(page, await orderLink(stage, order))
    const closed = consent.waitForEvent('close')
    await decide(consent, 'allow')
    await closed
    t.match(await told(), [
      { origin: broker.publicUrl, data: { outcome: 'connected', domain: 'demo.amocrm.ru' } },
    ])
    t.equal(page.url(), `${origin}/`, 'the page itself stays where it was')

    const stranger = await openerPage(t, browser)
    const other = await openWindow(stranger.page, await orderLink(stage, order))
    await decide(other, 'allow')
    await other.waitForEvent('close').catch(() => {})
    t.same(await stranger.page.evaluate('told'), [])
  })

  for (const [button, outcome] of [
    ['allow', { type: 'amo-token-broker', outcome: 'connected', domain: 'demo.amocrm.ru' }],
    // The provider tells a refusal itself, and closes its window before it comes to ours.
    ['deny', { error: 'access_denied' }],
  ] as const) {
    await t.test(
      `post_message, opened by a page, ${button}: it is told, the window closes`,
      async (t) => {
        const { page, origin } = await openerPage(t, browser)
        const order = { mode: 'post_message', opener_origin: origin }
        const consent = await openWindow(page, await orderLink(stage, order))
        await decide(consent, button)
        if (!consent.isClosed()) await consent.waitForEvent('close')
        const told = await page.evaluate('told')
        const teller = button === 'allow' ? broker.publicUrl : sandbox.origin
        t.match(told, [{ origin: teller, data: outcome }])
      },
    )
  }
})
