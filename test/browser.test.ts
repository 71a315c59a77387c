import { once } from 'node:events'
import { createServer } from 'node:http'
import type { BrowserContext, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { type BrokerWithSandbox, startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { findChromium, openBrowser } from './support/chromium.ts'

const executable = findChromium()
const missing = 'no Chromium here: apt-get install chromium, or name one in TEST_CHROMIUM'
// In CI a skipped test would look like one that passed.
if (executable === undefined && process.env.CI) t.fail(missing)

/** Opens a page of a sibling service, which records the messages that it receives. */
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

async function orderLink({ broker }: BrokerWithSandbox, order: object): Promise<string> {
  const { status, body } = await broker.post('/connect-links', { integration: 'amocrm', ...order })
  if (status !== 201) throw new Error(`no link: ${JSON.stringify(body)}`)
  return body.url
}

/** Makes the page open the link in a window. */
async function openWindow(page: Page, url: string): Promise<Page> {
  const opened = page.waitForEvent('popup')
  await page.evaluate(`open(${JSON.stringify(url)})`)
  return opened
}

/** Chooses the account and presses a button, as a person would. */
async function decide(consent: Page, button: 'allow' | 'deny'): Promise<void> {
  await consent.locator('#account').selectOption('demo')
  await consent.locator(`button[value="${button}"]`).click()
}

const skip = executable === undefined && missing
t.test('consent in a browser', { skip, buffered: true }, async (t) => {
  if (executable === undefined) return
  const stage = await startBrokerWithSandbox(t, { connect: false })
  const { broker, sandbox } = stage
  const browser = await (await openBrowser(t, executable)).newContext()

  for (const mode of ['popup', 'post_message']) {
    await t.test(`${mode}, the link opened directly: the page shows the outcome`, async (t) => {
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

    await t.test(`${mode}, denied: the page shows the refusal with its remedy`, async () => {
      const page = await browser.newPage()
      await page.goto(await orderLink(stage, { mode }))
      await decide(page, 'deny')
      await page.locator('h1', { hasText: 'Access was not allowed' }).waitFor()
      await page.locator('.remedy', { hasText: 'as an administrator' }).waitFor()
      await page.close()
    })
  }

  await t.test(
    'popup, opened by a page: the page shows the outcome, the window closes',
    async (t) => {
      const { page } = await openerPage(t, browser)
      const consent = await openWindow(page, await orderLink(stage, { mode: 'popup' }))
      const closed = consent.waitForEvent('close')
      await decide(consent, 'allow')
      await closed
      await page.locator('h1', { hasText: 'demo.amocrm.ru is connected' }).waitFor()
    },
  )

  await t.test('post_message, opened by a page: only that page gets the message', async (t) => {
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
    // The provider itself sends a refusal to the opener, and closes its window before our callback.
    ['deny', { error: 'access_denied' }],
  ] as const) {
    await t.test(
      `post_message, opened by a page, ${button}: it gets the message, the window closes`,
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
