import type { FastifyReply } from 'fastify'

/** What spreadsheets execute at the start of a cell (OWASP, CSV injection). */
const EXECUTED = /^[=+\-@\t\r\n]/
const QUOTED = /[",\r\n]/

type Cell = string | number | bigint | boolean | null | undefined

/**
 * Returns rows as CSV (RFC 4180). Cells that a spreadsheet would execute get an apostrophe.
 * `header` null: the rows follow others.
 */
export function toCsv(
  header: readonly string[] | null,
  rows: readonly (readonly Cell[])[],
): string {
  return [...(header === null ? [] : [header]), ...rows]
    .map((cells) => `${cells.map(cellText).join(',')}\r\n`)
    .join('')
}

/** Sends a text as a file. */
export function sendDownload(
  reply: FastifyReply,
  fileName: string,
  type: 'text/csv' | 'application/x-ndjson',
  text: string,
): FastifyReply {
  return reply
    .type(`${type}; charset=utf-8`)
    .headers({
      'cache-control': 'no-store',
      'content-disposition': `attachment; filename="${fileName}"`,
    })
    .send(text)
}

function cellText(cell: Cell): string {
  const text = String(cell ?? '')
  // A number is safe, with or without a sign.
  const safe = typeof cell === 'string' && EXECUTED.test(text) ? `'${text}` : text
  return QUOTED.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
