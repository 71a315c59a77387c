import { hash } from 'node:crypto'
import type { FastifyReply } from 'fastify'
import { explainOutcome } from './outcomes.ts'
import type { Progress } from './service.ts'

const ESCAPES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

const STYLE = `
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center }
  main { max-width: 32rem; padding: 2rem }
  h1 { font-size: 1.5rem; margin: 0 0 .5rem }
  .mark { font-size: 2.5rem }
  .remedy { border-left: 3px solid #8888; padding-left: 1rem }
  small { opacity: .7 }`

/** Tells the page that opened this window, and nobody else, how it ended; the window has served its purpose then. */
const SCRIPT = `
  const { origin, message } = document.currentScript.dataset
  if (window.opener) {
    window.opener.postMessage(JSON.parse(message), origin)
    window.close()
  }`
const SCRIPT_SOURCE = `'sha256-${hash('sha256', SCRIPT, 'base64')}'`

/** How an onboarding ended, for the page that opened the window. */
export interface Outcome {
  outcome: string
  integration?: string
  account_id?: number | null
  domain?: string | null
}

interface Page {
  status: number
  mark: string
  title: string
  text: string
  remedy?: string
  code?: string
  /** Loads itself again after this many seconds. */
  refreshSeconds?: number
  /** The page that opened the window is told this; it is of this origin, or told nothing. */
  tell?: { origin: string; outcome: Outcome } | undefined
}

/** The plain page that a person ends on: nothing loaded, nothing kept, no script but the one above. */
function sendPage(reply: FastifyReply, page: Page): FastifyReply {
  const refresh =
    page.refreshSeconds === undefined
      ? ''
      : `<meta http-equiv="refresh" content="${page.refreshSeconds}">`
  const remedy = page.remedy === undefined ? '' : `<p class="remedy">${escapeHtml(page.remedy)}</p>`
  const script = page.tell === undefined ? '' : scriptFor(page.tell)
  const scriptSource = page.tell === undefined ? "'none'" : SCRIPT_SOURCE
  const code = page.code === undefined ? '' : `<p><small>${escapeHtml(page.code)}</small></p>`
  return reply
    .code(page.status)
    .type('text/html; charset=utf-8')
    .headers({
      'cache-control': 'no-store',
      'content-security-policy': `default-src 'none'; script-src ${scriptSource}; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'`,
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    })
    .send(
      `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
${refresh}<title>${escapeHtml(page.title)}</title><style>${STYLE}</style>
<main><div class="mark" aria-hidden="true">${page.mark}</div><h1>${escapeHtml(page.title)}</h1>
<p>${escapeHtml(page.text)}</p>${remedy}${code}</main>${script}</html>`,
    )
}

function scriptFor({ origin, outcome }: NonNullable<Page['tell']>): string {
  const message = JSON.stringify({ type: 'amo-token-broker', ...outcome })
  return `<script data-origin="${escapeHtml(origin)}" data-message="${escapeHtml(message)}">${SCRIPT}</script>`
}

/** How an onboarding ended, or that it goes on. `opener`: the origin of the page that opened the window. */
export function sendProgressPage(
  reply: FastifyReply,
  progress: Progress,
  opener?: string | null,
): FastifyReply {
  const { outcome, domain, accountId, integration } = progress
  if (outcome === null) {
    return sendPage(reply, {
      status: 200,
      mark: '…',
      title: 'Connecting the account',
      text: 'The broker is exchanging the code. This page looks again by itself.',
      refreshSeconds: 2,
    })
  }
  const told = { outcome, integration, account_id: accountId, domain }
  const tell = opener ? { origin: opener, outcome: told } : undefined
  if (outcome !== 'connected') return sendProblem(reply, outcome, 200, tell)
  return sendPage(reply, {
    status: 200,
    mark: '✓',
    title: `${domain} is connected`,
    text: `Account ${accountId}. Its tokens are kept alive from now on. You can close this page.`,
    tell,
  })
}

/** For the provider's server, which does not look. */
export function sendReceivedPage(reply: FastifyReply): FastifyReply {
  return sendPage(reply, {
    status: 200,
    mark: '…',
    title: 'Received',
    text: 'The code is kept and will be exchanged.',
  })
}

/** What went wrong with a link or a callback, and what to do. */
export function sendProblemPage(
  reply: FastifyReply,
  code: string,
  status = 400,
  opener?: string | null,
): FastifyReply {
  const tell = opener ? { origin: opener, outcome: { outcome: code } } : undefined
  return sendProblem(reply, code, status, tell)
}

function sendProblem(
  reply: FastifyReply,
  code: string,
  status: number,
  tell: Page['tell'],
): FastifyReply {
  const { title, problem, remedy } = explainOutcome(code)
  return sendPage(reply, { status, mark: '✗', title, text: problem, remedy, code, tell })
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ESCAPES[character] ?? '')
}
