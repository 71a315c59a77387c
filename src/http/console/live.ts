import { type Content, type Html, html } from '../../lib/html.ts'

const POLL_SECONDS = 5

/**
 * Returns a region that asks for its page every few seconds and updates itself in place. Its id is
 * unique on the page, and it contains no fields.
 */
export function live(id: string, content: Content, seconds = POLL_SECONDS): Html {
  return html`<div class="live" id="${id}" data-hx-get="" data-hx-trigger="every ${seconds}s"
data-hx-select="#${id}" data-hx-target="this" data-hx-swap="outerMorph">${content}</div>`
}
