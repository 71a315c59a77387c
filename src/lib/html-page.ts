import { type Html, html, trustedHtml } from './html.ts'
import { STYLESHEET } from './stylesheet.ts'

interface PageParts {
  title: string
  /** BCP 47, such as `en`. */
  lang?: string
  /** Further elements of the head. */
  head?: Html
  body: Html
}

const STYLE = trustedHtml(`<style>${STYLESHEET}</style>`)

/**
 * Returns a whole page that loads nothing: the stylesheet is part of it. Its policy allows the
 * stylesheet by `STYLESHEET_SOURCE`.
 */
export function htmlPage(parts: PageParts): string {
  return htmlDocument({ ...parts, style: STYLE })
}

/** Returns a whole page around a body. `style` is the stylesheet, or a link to it. */
export function htmlDocument({
  title,
  lang = 'en',
  head,
  body,
  style,
}: PageParts & { style: Html }): string {
  return html`<!doctype html>
<html lang="${lang}" dir="ltr">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
${style}${head}
</head>
<body>${body}</body>
</html>
`.toString()
}
