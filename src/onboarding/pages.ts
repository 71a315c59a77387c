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

interface Page {
  status: number
  mark: string
  title: string
  text: string
  remedy?: string
  code?: string
  /** Loads itself again after this many seconds. */
  refreshSeconds?: number
}

/** The plain page that a person ends on: no script, nothing loaded, nothing kept. */
function sendPage(reply: FastifyReply, page: Page): FastifyReply {
  const refresh =
    page.refreshSeconds === undefined
      ? ''
      : `<meta http-equiv="refresh" content="${page.refreshSeconds}">`
  const remedy = page.remedy === undefined ? '' : `<p class="remedy">${escapeHtml(page.remedy)}</p>`
  const code = page.code === undefined ? '' : `<p><small>${escapeHtml(page.code)}</small></p>`
  return reply
    .code(page.status)
    .type('text/html; charset=utf-8')
    .headers({
      'cache-control': 'no-store',
      'content-security-policy':
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    })
    .send(
      `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
${refresh}<title>${escapeHtml(page.title)}</title><style>${STYLE}</style>
<main><div class="mark" aria-hidden="true">${page.mark}</div><h1>${escapeHtml(page.title)}</h1>
<p>${escapeHtml(page.text)}</p>${remedy}${code}</main></html>`,
    )
}

/** How an onboarding ended, or that it goes on. */
export function sendProgressPage(reply: FastifyReply, progress: Progress): FastifyReply {
  const { outcome, domain, accountId } = progress
  if (outcome === null) {
    return sendPage(reply, {
      status: 200,
      mark: '…',
      title: 'Connecting the account',
      text: 'The broker is exchanging the code. This page looks again by itself.',
      refreshSeconds: 2,
    })
  }
  if (outcome !== 'connected') return sendProblemPage(reply, outcome, 200)
  return sendPage(reply, {
    status: 200,
    mark: '✓',
    title: `${domain} is connected`,
    text: `Account ${accountId}. Its tokens are kept alive from now on. You can close this page.`,
  })
}

/** What went wrong with a link or a callback, and what to do. */
export function sendProblemPage(reply: FastifyReply, code: string, status = 400): FastifyReply {
  const { title, problem, remedy } = explainOutcome(code)
  return sendPage(reply, { status, mark: '✗', title, text: problem, remedy, code })
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ESCAPES[character] ?? '')
}
