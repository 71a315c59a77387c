import type { FastifyRequest } from 'fastify'
import { type Html, html, trustedHtml } from '../../lib/html.ts'
import { htmlDocument } from '../../lib/html-page.ts'
import type { Session } from '../../sessions/sessions.ts'
import { assetUrl } from './assets.ts'
import { SECTIONS, type Section } from './sections.ts'

/** Errors and answers without changes must not replace a part of a page. */
const HTMX_CONFIG = trustedHtml(
  `{"includeIndicatorCSS":false,"history":false,"noSwap":["204","304","3xx","4xx","5xx"]}`,
)

/** Returns a whole page of the console around its main column. */
export function layout(
  request: FastifyRequest,
  title: string,
  section: Section | null,
  main: Html,
): string {
  const style = html`<link rel="stylesheet" href="${assetUrl('style.css')}">`
  const head = html`<meta name="htmx-config" content="${HTMX_CONFIG.toString()}">
<link rel="icon" href="${assetUrl('icon.svg')}" type="image/svg+xml">
<script src="${assetUrl('htmx.js')}" defer></script>
<script src="${assetUrl('console.js')}" defer></script>`
  const body = html`<a class="skip" href="#main">Skip to the content</a>
${request.session && bar(request.session, section)}
${main}`
  return htmlDocument({ title: `${title} · amo token broker`, head, body, style })
}

function bar({ caller, kind }: Session, current: Section | null): Html {
  const links = Object.entries(SECTIONS)
    .filter(([, { isForMonitors }]) => isForMonitors || caller.role === 'operator')
    .map(([name, { path, title }]) => {
      const mark = name === current && trustedHtml(' aria-current="page"')
      return html`<a href="${path}"${mark}>${title}</a>`
    })
  return html`<header class="bar"><a class="brand" href="/console">amo token broker</a>
<nav aria-label="Console">${links}</nav>
<form class="who inline" method="post" action="/console/sign-out"><span>${kind === 'operator_key' ? caller.name : `${caller.name} (${caller.role})`}</span>
<button class="link">Sign out</button></form></header>`
}
