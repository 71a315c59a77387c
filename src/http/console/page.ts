import { hash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Html, html } from '../../lib/html.ts'
import { takeNote } from './flash.ts'
import { layout } from './layout.ts'
import { live } from './live.ts'
import { SECTIONS, type Section } from './sections.ts'

const ETAG_CHARACTERS = 22

export interface View {
  /** The state, as a sentence. It is the heading of the page as well. */
  title: string
  /** Null: the page belongs to no section. */
  section: Section | null
  /** Everything below the heading. */
  main: Html
  status?: number
  /** The page shows a new key or link: no cache keeps it, and nothing polls it. */
  holdsSecret?: true
  /** The heading changes with the content, so both are polled. Then `main` has no fields. */
  isLive?: true
  /** `alone`: a narrow page in the middle. `reading`: a column for text. */
  width?: 'alone' | 'reading'
  /** Further sources that forms of this page may lead to. */
  formTargets?: string
}

/**
 * Sends a page of the console. An unchanged page is answered with 304. Parts of a page ask with
 * `HX-Request` and get the main column only.
 */
export function sendPage(request: FastifyRequest, reply: FastifyReply, view: View): FastifyReply {
  const { text, hasNote } = prepare(request, reply, view)
  if (view.holdsSecret || hasNote || reply.statusCode !== 200) {
    return reply.header('cache-control', 'no-store').send(text)
  }
  const etag = `"${hash('sha256', text, 'base64url').slice(0, ETAG_CHARACTERS)}"`
  reply.headers({ 'cache-control': 'private, no-cache', vary: 'Cookie, HX-Request', etag })
  if (request.headers['if-none-match'] === etag) return reply.code(304).send()
  return reply.send(text)
}

/** Returns the text of a page that is sent in pieces and not stored, and sets its headers. */
export function pageText(request: FastifyRequest, reply: FastifyReply, view: View): string {
  const { text } = prepare(request, reply, view)
  reply.header('cache-control', 'no-store')
  return text
}

function prepare(request: FastifyRequest, reply: FastifyReply, view: View) {
  const isPart = request.headers['hx-request'] !== undefined
  const note = isPart ? undefined : takeNote(request, reply)
  const main = mainColumn(request, view, note)
  const text = isPart ? main.toString() : layout(request, view.title, view.section, main)
  reply
    .code(view.status ?? 200)
    .type('text/html; charset=utf-8')
    .headers(pageHeaders(view.formTargets))
  return { text, hasNote: note !== undefined }
}

function mainColumn(request: FastifyRequest, view: View, note: Html | undefined): Html {
  const { title, main, width, isLive } = view
  const content = html`<h1>${title}</h1>${main}`
  return html`<main id="main" tabindex="-1" class="${width}">${crumbs(request, view)}${note}
<div id="stale" class="band warn" role="status" hidden><b>The broker does not answer. This page may be out of date.</b></div>
${isLive ? live('page', content) : content}
<p id="announcer" class="visually-hidden" role="status"></p></main>`
}

/** Leads from a page below a section to the section. */
function crumbs({ url }: FastifyRequest, { section, width }: View): Html | undefined {
  if (section === null || width === 'alone') return undefined
  const { path, title } = SECTIONS[section]
  if (url.split('?')[0] === path) return undefined
  return html`<p class="crumbs"><a href="${path}">← ${title}</a></p>`
}

/** Nothing is loaded from elsewhere, and nothing inline runs. */
function pageHeaders(formTargets = '') {
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    `form-action 'self' ${formTargets}`.trim(),
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ]
  return {
    'content-security-policy': policy.join('; '),
    'cross-origin-opener-policy': 'same-origin',
    // Without a referrer, browsers send `Origin: null` with forms.
    'referrer-policy': 'same-origin',
  }
}
