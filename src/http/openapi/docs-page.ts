import { INTERNAL } from './introduction.ts'

/** The icon of the page: a key. */
export const DOCS_ICON = {
  filename: 'icon.svg',
  rel: 'icon',
  type: 'image/svg+xml',
  sizes: 'any',
  content:
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" fill="none" stroke="#2f6f4f" ' +
    'stroke-width="2"><circle cx="4.5" cy="8" r="3"/><path d="M7.5 8H15M12.5 8v3.5"/></svg>',
}

/** Makes the page of Swagger UI usable on a phone: nothing is wider than the screen. */
export const DOCS_CSS = `
body { background: #fff }
.swagger-ui .info { margin: 24px 0 }
.swagger-ui .info .title small.version-stamp { background: #2f6f4f }
.swagger-ui .scheme-container { box-shadow: none; border-bottom: 1px solid #ddd; padding: 16px 0 }
@media (max-width: 640px) {
  .swagger-ui .wrapper { padding: 0 12px }
  .swagger-ui .info .title { font-size: 24px }
  .swagger-ui .scheme-container .schemes { padding: 0 12px; gap: 12px }
  .swagger-ui .opblock .opblock-summary { flex-wrap: wrap }
  .swagger-ui .opblock .opblock-summary-path { max-width: 100%; flex: 1 1 60% }
  .swagger-ui .opblock .opblock-summary-description { flex: 1 1 100%; padding: 4px 0 0 }
  .swagger-ui .opblock-tag { flex-wrap: wrap; font-size: 20px }
  .swagger-ui .opblock-tag > a { flex: 1 }
  .swagger-ui .opblock-tag small { flex: 1 1 100%; order: 1; padding: 0 }
  .swagger-ui table.parameters, .swagger-ui table.responses-table { display: block; overflow-x: auto }
  .swagger-ui .parameters-col_description input { max-width: 100% }
  .swagger-ui pre, .swagger-ui .info code { white-space: pre-wrap; word-break: break-word }
}
`

/**
 * Returns the page of Swagger UI. Its assets are relative, so that they also load behind a path
 * prefix.
 */
export function docsPage(endsWithSlash: boolean): string {
  const assets = endsWithSlash ? './static' : './docs/static'
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${INTERNAL.title}: API</title>
<link rel="icon" type="${DOCS_ICON.type}" href="${assets}/theme/${DOCS_ICON.filename}">
<link rel="stylesheet" href="${assets}/swagger-ui.css">
<link rel="stylesheet" href="${assets}/theme/docs.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="${assets}/swagger-ui-bundle.js" charset="utf-8"></script>
<script src="${assets}/swagger-ui-standalone-preset.js" charset="utf-8"></script>
<script src="${assets}/swagger-initializer.js" charset="utf-8"></script>
</body>
</html>
`
}
