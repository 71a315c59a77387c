/** Markup that is safe to put into a page as it stands. */
export interface Html {
  markup: string
}

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character)
}

/**
 * A template tag that escapes whatever it is given, unless that is markup itself.
 *
 * @example html`<b>${name}</b>`
 */
export function html(parts: TemplateStringsArray, ...values: unknown[]): Html {
  const markup = parts.reduce((text, part, index) => text + toMarkup(values[index - 1]) + part)
  return { markup }
}

/** A value as a literal for an inline script: nothing in it can end the script. */
export function scriptLiteral(value: unknown): Html {
  const text = JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, unicodeEscape)
  return { markup: text }
}

/** A whole page; `body` is placed as it is. */
export function page(title: string, body: Html, lang = 'en'): string {
  return `<!doctype html>
<html lang="${escapeHtml(lang)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body><main>${body.markup}</main></body>
</html>
`
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1d2733; --dim: #5c6b7a; --line: #dde3ea; --back: #f3f6f9; --card: #fff; --go: #1a66cc }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf1; --dim: #9aa8b6; --line: #33404d; --back: #141a20; --card: #1d252d; --go: #4c8fe8 } }
* { box-sizing: border-box }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back) }
main { max-width: 44rem; margin: 3rem auto; padding: 2rem; background: var(--card); border: 1px solid var(--line); border-radius: 12px }
main.narrow { max-width: 28rem }
h1 { font-size: 1.4rem; margin: 0 0 .5rem } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem }
p.dim, small { color: var(--dim) } code { font-size: .85em; overflow-wrap: anywhere }
label { display: block; margin: 1rem 0 .25rem } select, input { width: 100%; padding: .55rem; font: inherit; border: 1px solid var(--line); border-radius: 8px; background: var(--card); color: inherit }
.buttons { display: flex; gap: .75rem; margin-top: 1.5rem }
button { flex: 1; padding: .65rem; font: inherit; border: 1px solid var(--line); border-radius: 8px; background: transparent; color: inherit; cursor: pointer }
button.go { background: var(--go); border-color: var(--go); color: #fff }
table { width: 100%; border-collapse: collapse; font-size: .9rem } th, td { text-align: left; padding: .35rem .5rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
`

function toMarkup(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (Array.isArray(value)) return value.map(toMarkup).join('')
  if (isHtml(value)) return value.markup
  return escapeHtml(String(value))
}

function isHtml(value: unknown): value is Html {
  return typeof value === 'object' && value !== null && 'markup' in value
}

function unicodeEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
