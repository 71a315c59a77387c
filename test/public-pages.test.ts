import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { TEXTS } from '../src/http/public-pages/texts/language.ts'
import { startBrokerWithSandbox } from './support/broker-with-sandbox.ts'
import { findChromium, openBrowser } from './support/chromium.ts'
import { linkOf, Person } from './support/person.ts'

/** Every text of a language by its path, such as `outcomes.link_used.title`. */
function textsOf(value: unknown, path = ''): [path: string, text: string][] {
  if (typeof value === 'string') return [[path, value]]
  return Object.entries(value as object).flatMap(([name, inner]) =>
    textsOf(inner, path === '' ? name : `${path}.${name}`),
  )
}

const placeholdersOf = (text: string) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort()

t.test('texts: none is missing or untranslated, and the placeholders agree', async (t) => {
  const english = new Map(textsOf(TEXTS.en))
  t.ok(english.size > 60, `${english.size} texts`)
  for (const [language, texts] of Object.entries(TEXTS)) {
    const all = new Map(textsOf(texts))
    t.same([...all.keys()], [...english.keys()], `${language} has the same texts`)
    for (const [path, text] of all) {
      const original = english.get(path) ?? ''
      t.ok(text.trim().length > 2, `${language} ${path}`)
      t.same(placeholdersOf(text), placeholdersOf(original), `${language} ${path}: placeholders`)
      if (language !== 'en') t.not(text, original, `${language} ${path} is translated`)
      if (language !== 'en') t.notMatch(text, /“|”|’/, `${language} ${path}: own quotation marks`)
    }
  }
})

const TITLE = {
  en: 'There is no such link',
  ru: 'Такой ссылки нет',
  uk: 'Такого посилання немає',
  es: 'Este enlace no existe',
}

t.test('pages for account owners', async (t) => {
  const stage = await startBrokerWithSandbox(t, {
    connect: false,
    env: { BRAND_NAME: '<b>Acme</b> & Söhne' },
  })
  const { broker, sandbox } = stage
  const unknown = `${broker.publicUrl}/connect/nothing`
  const open = (language?: string, url = unknown) =>
    fetch(url, { headers: language === undefined ? {} : { 'accept-language': language } })

  await t.test('Accept-Language decides the language, English is the default', async (t) => {
    for (const [header, language] of [
      [undefined, 'en'],
      ['', 'en'],
      ['*', 'en'],
      ['ru', 'ru'],
      ['ru-RU,ru;q=0.9,en;q=0.8', 'ru'],
      ['de-DE,de;q=0.9', 'en'],
      ['de,es-419;q=0.7,en;q=0.3', 'es'],
      ['en;q=0.5,uk-UA;q=0.9', 'uk'],
      ['RU', 'ru'],
      ['ru;q=0,es', 'es'],
      ['ru;q=nonsense, ;;,=', 'en'],
      [`${'x-'.repeat(2000)},es`, 'es'],
    ] as const) {
      const response = await open(header)
      const page = await response.text()
      const label = header?.slice(0, 40) ?? 'no header'
      t.equal(response.status, 404, label)
      t.match(page, `<html lang="${language}" dir="ltr">`, label)
      t.match(page, `<h1>${TITLE[language]}</h1>`, label)
      t.equal(response.headers.get('content-language'), language, label)
      t.equal(response.headers.get('vary'), 'Accept-Language', label)
    }
  })

  await t.test('BRAND_NAME is on the page, and is text', async (t) => {
    const page = await (await open('en')).text()
    t.match(page, 'There is no such link · &lt;b&gt;Acme&lt;/b&gt; &amp; Söhne</title>')
    t.notMatch(page, '<b>Acme')
  })

  await t.test('/ and unknown paths: a page that names no path', async (t) => {
    for (const [path, status] of [
      ['/', 200],
      ['/docs', 404],
    ] as const) {
      const headers = { accept: 'text/html', 'accept-language': 'uk' }
      const response = await fetch(`${broker.publicUrl}${path}`, { headers })
      const page = await response.text()
      t.equal(response.status, status)
      t.match(page, /lang="uk".*<h1>Тут немає сторінки<\/h1>/s)
      t.notMatch(page, /href|\/docs|\/connect/)
    }
  })

  await t.test('no policy of a page has unsafe-*', async (t) => {
    const policy = (await open()).headers.get('content-security-policy') ?? ''
    t.match(policy, "default-src 'none'")
    t.notMatch(policy, 'unsafe')
  })

  const retryOf = (page: { text: string; url: string }) => {
    const [, path] = /class="button primary" href="([^"]+)"/.exec(page.text) ?? []
    return path === undefined ? undefined : new URL(path.replaceAll('&amp;', '&'), page.url).href
  }

  await t.test('another account than the link’s: both are named, and a retry works', async (t) => {
    sandbox.world.addAccount({ platform: 'amocrm', subdomain: 'other' })
    const person = new Person()
    const link = await linkOf(broker, { account: 'demo.amocrm.ru' })
    const page = await person.finish(await person.decide(link, 'allow', 'other'))
    t.match(page.text, 'You chose other.amocrm.ru, but the link is for demo.amocrm.ru.')
    t.match(page.text, '<small>other_account</small>')
    const retry = retryOf(page)
    if (retry === undefined) throw new Error('no link to try again')
    const done = await person.finish(await person.decide(retry, 'allow', 'demo'))
    t.match(done.text, 'demo.amocrm.ru is connected')
    t.match(done.text, 'has been granted access')

    await t.test('the account that an id names: by its domain', async (t) => {
      const { accountId } = await stage.row()
      const again = new Person()
      const expected = await linkOf(broker, { account: String(accountId) })
      const wrong = await again.finish(await again.decide(expected, 'allow', 'other'))
      t.match(wrong.text, 'the link is for demo.amocrm.ru.')
    })
    t.equal((await fetch(retry, { redirect: 'manual' })).status, 410, 'the link is used up')
    t.match((await person.get(page.url)).text, 'other_account')
    t.notOk(retryOf({ ...page, ...(await person.get(page.url)) }), 'and is not offered any more')
  })

  await t.test('denied: the same link can be tried again', async (t) => {
    const person = new Person()
    const link = await linkOf(broker)
    const page = await person.finish(await person.decide(link, 'deny'))
    const retry = retryOf(page) ?? ''
    t.equal((await person.get(retry)).status, 302)
    await t.test('only with the mark that the page has', async (t) => {
      const forged = new URL(retry)
      forged.searchParams.set('mark', 'x'.repeat(43))
      t.equal((await person.get(forged.href)).status, 404)
      forged.searchParams.delete('mark')
      t.equal((await person.get(forged.href)).status, 400)
    })
  })

  await looksRight(t, unknown)
})

/** Asserts that no text of any language overflows a page, in Chromium. */
async function looksRight(t: Test, url: string): Promise<void> {
  const executable = findChromium()
  const skip = executable === undefined && 'no Chromium here'
  await t.test('every text in every language fits, wide and narrow', { skip }, async (t) => {
    if (executable === undefined) return
    const browser = await openBrowser(t, executable)
    const page = await browser.newPage()
    for (const [language, { outcomes }] of Object.entries(TEXTS)) {
      await page.setExtraHTTPHeaders({ 'accept-language': language })
      for (const width of [1280, 390]) {
        await page.setViewportSize({ width, height: 800 })
        await page.goto(url)
        const texts = Object.values(outcomes).map(({ title, problem, remedy }) => ({
          title,
          problem: problem.replace('{chosen}', `${'long-name-'.repeat(6)}.amocrm.ru`),
          remedy,
        }))
        t.same(await overflowing(page, texts), [], `${language} ${width}`)
      }
    }
  })
}

/** Puts each text into the page and returns the titles of those that are wider than it. */
function overflowing(
  page: Page,
  texts: { title: string; problem: string; remedy: string }[],
): Promise<string[]> {
  const source = `(texts) => texts.filter(({ title, problem, remedy }) => {
    document.querySelector('h1').textContent = title
    document.querySelector('h1 + p').textContent = problem
    document.querySelector('.remedy').textContent = remedy
    return document.documentElement.scrollWidth > innerWidth
  }).map(({ title }) => title)`
  return page.evaluate(`(${source})(${JSON.stringify(texts)})`)
}
