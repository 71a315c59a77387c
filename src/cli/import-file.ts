import { Failure } from './failure.ts'

/** One account of a file, and where it stands there. */
export interface ImportLine {
  line: number
  /** As they stand in the file: names as in the API's body. */
  fields: Record<string, string>
}

export const FIELDS = ['integration', 'domain', 'access_token', 'refresh_token', 'expires_at']

/**
 * Reads a CSV with a header (of commas, semicolons or tabs), a JSON array of objects, or one JSON object a line.
 * Throws `Failure`, which tells no value.
 */
export function parseImportFile(text: string): ImportLine[] {
  const body = text.replace(/^\uFEFF/, '')
  const lines = /^\s*[[{]/.test(body) ? readJson(body) : readCsv(body)
  const [first] = lines
  if (first === undefined) throw new Failure('there is no account in the file')
  for (const { line, fields } of lines) {
    const unknown = Object.keys(fields).find((name) => !FIELDS.includes(name))
    if (unknown !== undefined) {
      // A token in the header's place must not be told.
      const name = /^[a-z_]{1,20}$/.test(unknown) ? ` "${unknown}"` : ''
      throw new Failure(`line ${line}: there is no column${name}`, {
        remedy: `The columns are ${FIELDS.join(', ')}; the first line of a CSV names them.`,
      })
    }
  }
  return lines
}

function readJson(text: string): ImportLine[] {
  const isArray = text.trimStart().startsWith('[')
  const texts = isArray ? [text] : text.split('\n')
  return texts.flatMap((each, at) => {
    if (each.trim() === '') return []
    const parsed = parseOne(each, at + 1)
    const objects = Array.isArray(parsed) ? parsed : [parsed]
    return objects.map((object, index) => ({
      line: isArray ? index + 1 : at + 1,
      fields: fieldsOf(object, isArray ? index + 1 : at + 1),
    }))
  })
}

function parseOne(text: string, line: number): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Of JSON.parse: its message repeats a part of the text.
    throw new Failure(`line ${line}: this is no JSON`)
  }
}

function fieldsOf(object: unknown, line: number): Record<string, string> {
  if (typeof object !== 'object' || object === null) {
    throw new Failure(`line ${line}: this is no object with the fields of an account`)
  }
  const given = Object.entries(object).filter(([, value]) => value !== null && value !== '')
  return Object.fromEntries(given.map(([name, value]) => [name, String(value)]))
}

/** RFC 4180, with the separator that the header has. */
function readCsv(text: string): ImportLine[] {
  const separator = [';', '\t'].find((each) => text.split('\n')[0]?.includes(each)) ?? ','
  const [header, ...rows] = splitCsv(text, separator)
  if (header === undefined) return []
  const names = header.cells.map((name) => name.trim().toLowerCase())
  return rows
    .filter(({ cells }) => cells.some((cell) => cell.trim() !== ''))
    .map(({ line, cells }) => {
      if (cells.length > names.length) throw new Failure(`line ${line}: it has too many columns`)
      const pairs = cells.map((cell, at) => [names[at] ?? '', cell.trim()] as const)
      return { line, fields: Object.fromEntries(pairs.filter(([, value]) => value !== '')) }
    })
}

interface CsvRow {
  line: number
  cells: string[]
}

function splitCsv(text: string, separator: string): CsvRow[] {
  const rows: CsvRow[] = []
  let row: CsvRow = { line: 1, cells: [] }
  let line = 1
  const cell = new RegExp(
    `(?:"((?:[^"]|"")*)"|((?!")[^${separator}\\r\\n]*))(${separator}|\\r?\\n|$)`,
    'y',
  )
  while (cell.lastIndex < text.length) {
    const found = cell.exec(text)
    if (found === null) throw new Failure(`line ${line}: a quote is not closed`)
    const [whole, quoted, plain = '', end] = found
    row.cells.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'))
    line += whole.split('\n').length - 1
    if (end === separator) continue
    rows.push(row)
    row = { line, cells: [] }
  }
  // The last line may end with a separator and nothing else.
  if (row.cells.length > 0) rows.push(row)
  return rows
}
