import { type Content, type Html, html } from '../../lib/html.ts'

/** The meaning of a colour. A word beside it always has the same meaning. */
export type Tone = 'good' | 'warn' | 'bad' | 'neutral'

/** Returns a word on a coloured ground. */
export function badge(tone: Tone, text: string): Html {
  return html`<span class="badge ${tone}">${text}</span>`
}

/** Returns a message about the state of something: a sentence, and what follows from it. */
export function band(tone: Tone, title: Content, text?: Content): Html {
  return html`<section class="band ${tone}"><div><b>${title}</b></div>
${text !== undefined && html`<div>${text}</div>`}</section>`
}

/** Returns a titled part of a page. */
export function card(title: string, body: Content): Html {
  return html`<section class="card"><h2>${title}</h2>${body}</section>`
}

interface Tile {
  count: number
  label: string
  href: string
  tone?: Tone
}

/** Returns large numbers, each with a link to what it counts. */
export function tiles(label: string, entries: readonly Tile[]): Html {
  const items = entries.map(
    ({ count, label: text, href, tone = 'neutral' }) =>
      html`<li><a class="tile ${count > 0 ? tone : 'neutral'}" href="${href}"><b>${formatNumber(count)}</b><span>${text}</span></a></li>`,
  )
  return html`<ul class="tiles" aria-label="${label}">${items}</ul>`
}

/**
 * Returns a table whose rows become blocks on a phone. `headings` label the cells there; an empty
 * heading labels nothing.
 */
export function stackTable(
  label: string,
  headings: readonly string[],
  rows: readonly (readonly Content[])[],
): Html {
  const head = headings.map((heading) =>
    heading === '' ? html`<td></td>` : html`<th scope="col">${heading}</th>`,
  )
  const body = rows.map((cells) => {
    const [first, ...rest] = cells
    const others = rest.map((cell, index) => {
      const heading = headings[index + 1]
      return html`<td${heading !== '' && html` data-label="${heading}:"`}>${cell}</td>`
    })
    return html`<tr><th scope="row">${first}</th>${others}</tr>`
  })
  return html`<table class="stack" aria-label="${label}"><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table>`
}

/** Returns the text in place of an empty list, and what to do about it. */
export function emptyState(text: Content, action?: Content): Html {
  return html`<p class="muted">${text}</p>${action}`
}

/** Returns names and values, one below the other. */
export function facts(entries: readonly (readonly [name: string, value: Content])[]): Html {
  const items = entries.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)
  return html`<dl class="facts">${items}</dl>`
}

/** Returns a text to copy: the field shows it, and the button copies it where scripts run. */
export function copyField(id: string, label: string, text: string): Html {
  return html`<div class="field"><label for="${id}">${label}</label><div class="copy">
<input id="${id}" value="${text}" readonly><button type="button" class="primary" data-copy="${id}">Copy</button></div></div>`
}

/** Returns a number as text, with commas. */
export function formatNumber(number: number): string {
  return number.toLocaleString('en')
}
