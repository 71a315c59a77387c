import { hash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Html, html, trustedHtml } from '../../lib/html.ts'
import { htmlPage } from '../../lib/html-page.ts'
import { STYLESHEET_SOURCE } from '../../lib/stylesheet.ts'
import { chooseLanguage, fill, type Language, TEXTS } from './texts/language.ts'
import type { PageTexts } from './texts/page-texts.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Company that the public pages name (BRAND_NAME), or null. */
    brandName: string | null
  }
}

/**
 * Sends the outcome to the page that opened this window, and to no other page, then closes the
 * window.
 */
const SCRIPT = `
  const { origin, message } = document.currentScript.dataset
  if (window.opener) {
    window.opener.postMessage(JSON.parse(message), origin)
    window.close()
  }`
const SCRIPT_SOURCE = `'sha256-${hash('sha256', SCRIPT, 'base64')}'`

/** The outcome of an onboarding, for the page that opened the window. */
interface PageOutcome {
  outcome: string
  integration?: string
  account_id?: number | null
  domain?: string | null
}

export interface PublicPage {
  status: number
  mark: string
  title: string
  text: string
  remedy?: string
  /** Leads to the provider's consent page once more. */
  retry?: { url: string; label: string } | undefined
  code?: string
  /** The operators' explanation, in English. */
  details?: { summary: string; text: string } | undefined
  /** The page reloads itself after this many seconds. */
  refreshSeconds?: number
  /** The page messages its opener later, so it must not be cut off from it. */
  hasOpener?: boolean
  /** The outcome is sent to the opener only if that has this origin. */
  tell?: { origin: string; outcome: PageOutcome } | undefined
}

/** The texts in the language of a reader, with the name of the company filled in. */
export interface ReaderTexts {
  texts: PageTexts
  /** Replaces the words in braces of a text. */
  fill: (text: string, values?: Record<string, string | number>) => string
}

/** Returns the texts in the language that the browser prefers. */
export function textsFor(request: FastifyRequest): ReaderTexts {
  const brand = request.server.brandName
  const values = brand === null ? {} : { brand }
  return {
    texts: TEXTS[languageOf(request)],
    fill: (text, more = {}) => fill(text, { ...more, ...values }),
  }
}

/**
 * Sends a page to a person who is no operator, in their language. It loads nothing, is not stored,
 * and has at most the one script above.
 */
export function sendPublicPage(
  request: FastifyRequest,
  reply: FastifyReply,
  page: PublicPage,
): FastifyReply {
  const isCutOff = page.tell === undefined && page.hasOpener !== true
  if (isCutOff) reply.header('cross-origin-opener-policy', 'same-origin')
  const scriptSource = page.tell === undefined ? "'none'" : SCRIPT_SOURCE
  const language = languageOf(request)
  return reply
    .code(page.status)
    .type('text/html; charset=utf-8')
    .headers({
      'cache-control': 'no-store',
      'content-language': language,
      'content-security-policy': `default-src 'none'; script-src ${scriptSource}; style-src ${STYLESHEET_SOURCE}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'`,
      'referrer-policy': 'no-referrer',
      vary: 'Accept-Language',
      'x-content-type-options': 'nosniff',
    })
    .send(render(page, language, request.server.brandName))
}

function languageOf({ headers }: FastifyRequest): Language {
  return chooseLanguage(headers['accept-language'])
}

function render(page: PublicPage, lang: Language, brand: string | null): string {
  const { mark, title, text, remedy, retry, code, details, refreshSeconds, tell } = page
  const head =
    refreshSeconds !== undefined && html`<meta http-equiv="refresh" content="${refreshSeconds}">`
  const body = html`<main class="alone notice">${brand !== null && html`<p class="company">${brand}</p>`}
<div class="mark" aria-hidden="true">${mark}</div><h1>${title}</h1>
<p>${text}</p>${remedy !== undefined && html`<p class="remedy">${remedy}</p>`}
${retry !== undefined && html`<p><a class="button primary" href="${retry.url}">${retry.label}</a></p>`}
${code !== undefined && html`<p><small>${code}</small></p>`}
${details !== undefined && html`<details><summary>${details.summary}</summary><p lang="en">${details.text}</p></details>`}</main>
${tell !== undefined && scriptFor(tell)}`
  return htmlPage({
    title: brand === null ? title : `${title} · ${brand}`,
    lang,
    body,
    ...(head === false ? {} : { head }),
  })
}

function scriptFor({ origin, outcome }: NonNullable<PublicPage['tell']>): Html {
  const message = JSON.stringify({ type: 'amo-token-broker', ...outcome })
  const script = trustedHtml(SCRIPT)
  return html`<script data-origin="${origin}" data-message="${message}">${script}</script>`
}
