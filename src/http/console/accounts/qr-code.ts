import { type Html, html } from '../../../lib/html.ts'

/** White border that cameras need, in squares. */
const BORDER = 4
const SIZE_PIXELS = 220

/** Draws a text as a QR code: black on white in both schemes, because cameras expect it so. */
export async function qrCode(text: string, label: string): Promise<Html> {
  const { encodeQR } = await import('qr')
  const rows = encodeQR(text, 'raw', { ecc: 'medium', border: BORDER })
  const squares = rows.flatMap((row, y) =>
    row.map((isDark, x) => (isDark ? `M${x} ${y}h1v1h-1z` : '')),
  )
  const side = rows.length
  return html`<svg role="img" aria-label="${label}" viewBox="0 0 ${side} ${side}" width="${SIZE_PIXELS}"
height="${SIZE_PIXELS}" shape-rendering="crispEdges"><rect width="${side}" height="${side}" fill="#fff"/><path
fill="#000" d="${squares.join('')}"/></svg>`
}
