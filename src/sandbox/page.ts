import { type Html, html, trustedHtml } from '../lib/html.ts'
import { htmlPage } from '../lib/html-page.ts'

const HEAD = trustedHtml('<meta name="referrer" content="no-referrer">')

/** Returns a whole page around `body`. */
export function page(title: string, body: Html, lang = 'en'): string {
  return htmlPage({ title, lang, head: HEAD, body: html`<main class="reading">${body}</main>` })
}
