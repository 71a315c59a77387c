import axe from 'axe-core'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { OPERATOR_KEY, type TestBroker } from './broker.ts'

interface ConsoleAnswer {
  status: number
  headers: Headers
  text: string
}

/** A browser without a window: keeps cookies and sends what a page of the console would send. */
export class Visitor {
  readonly cookies = new Map<string, string>()
  readonly #url: string

  constructor(broker: Pick<TestBroker, 'url'>) {
    this.#url = broker.url
  }

  get(path: string, headers: Record<string, string> = {}): Promise<ConsoleAnswer> {
    return this.#ask(path, { headers })
  }

  /** Sends a form as a page of the console does, without following the redirect. */
  post(
    path: string,
    fields: Record<string, string> | URLSearchParams = {},
    headers: Record<string, string> = { 'sec-fetch-site': 'same-origin' },
  ): Promise<ConsoleAnswer> {
    return this.#ask(path, { method: 'POST', body: new URLSearchParams(fields), headers })
  }

  async #ask(
    path: string,
    init: { method?: string; body?: URLSearchParams; headers: Record<string, string> },
  ): Promise<ConsoleAnswer> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await fetch(this.#url + path, {
      ...init,
      headers: { cookie, ...init.headers },
      redirect: 'manual',
    })
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      if (value === '') this.cookies.delete(name)
      else this.cookies.set(name, value)
    }
    return { status: response.status, headers: response.headers, text: await response.text() }
  }
}

/** Signs in to the console. Throws unless the key is accepted. */
export async function signIn(
  broker: Pick<TestBroker, 'url'>,
  key = OPERATOR_KEY,
): Promise<Visitor> {
  const visitor = new Visitor(broker)
  const { status, text } = await visitor.post('/console/sign-in', { key })
  if (status !== 303) throw new Error(`not signed in: ${status} ${text}`)
  return visitor
}

interface ConsoleWindow {
  hasJavaScript?: boolean
  width?: number
  scheme?: 'light' | 'dark'
  key?: string
}

/** Opens the console in an empty profile of the browser, and signs in through the form. */
export async function openConsole(
  browser: Browser,
  broker: Pick<TestBroker, 'url'>,
  { hasJavaScript = true, width = 1280, scheme = 'light', key = OPERATOR_KEY }: ConsoleWindow = {},
): Promise<{ context: BrowserContext; page: Page }> {
  const context = await browser.newContext({
    javaScriptEnabled: hasJavaScript,
    viewport: { width, height: 900 },
    colorScheme: scheme,
  })
  const page = await context.newPage()
  await page.goto(`${broker.url}/console`)
  await page.getByLabel('Key').fill(key)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.waitForURL((url) => !url.pathname.startsWith('/console/sign-in'))
  return { context, page }
}

/** Returns what axe finds on the page: WCAG A and AA, with contrast, labels and names. */
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe.source)
  const result: axe.AxeResults = await page.evaluate(
    `axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })`,
  )
  return result.violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`))
}
