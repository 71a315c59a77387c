import { CsvError, type Info, parse } from 'csv-parse/sync'

/** One account of a file. */
export interface ImportLine {
  line: number
  /** Named as in the API's request body. */
  fields: Record<string, string>
}

/** A file that cannot be read. The message contains no value of the file. */
export class ImportFileError extends Error {
  override readonly name = 'ImportFileError'
  readonly remedy: string | undefined

  constructor(message: string, remedy?: string) {
    super(message)
    this.remedy = remedy
  }
}

const FIELDS = ['integration', 'domain', 'access_token', 'refresh_token', 'expires_at']

/**
 * Reads CSV with a header (commas, semicolons or tabs), a JSON array of objects, or one JSON object
 * per line. Throws `ImportFileError`.
 */
export function parseImportFile(text: string): ImportLine[] {
  const body = text.replace(/^\uFEFF/, '')
  const lines = /^\s*[[{]/.test(body) ? readJson(body) : readCsv(body)
  const [first] = lines
  if (first === undefined) throw new ImportFileError('the file contains no account')
  for (const { line, fields } of lines) {
    const unknown = Object.keys(fields).find((name) => !FIELDS.includes(name))
    if (unknown !== undefined) {
      // A file without a header has a token here, which must not be printed.
      const name = /^[a-z_]{1,20}$/.test(unknown) ? ` "${unknown}"` : ''
      throw new ImportFileError(
        `line ${line}: unknown column${name}`,
        `The columns are ${FIELDS.join(', ')}. The first line of a CSV file names them.`,
      )
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
    // The message of JSON.parse repeats a part of the text.
    throw new ImportFileError(`line ${line}: not valid JSON`)
  }
}

function fieldsOf(object: unknown, line: number): Record<string, string> {
  if (typeof object !== 'object' || object === null) {
    throw new ImportFileError(`line ${line}: not an object with the fields of an account`)
  }
  const given = Object.entries(object).filter(([, value]) => value !== null && value !== '')
  return Object.fromEntries(given.map(([name, value]) => [name, String(value)]))
}

/** Reads CSV (RFC 4180) with the separator of its header. Short rows are filled up. */
function readCsv(text: string): ImportLine[] {
  const delimiter = [';', '\t'].find((each) => text.split('\n')[0]?.includes(each)) ?? ','
  // Taken from the header. A file without one has a token there, so errors must not print it.
  const columns = (names: string[]) => names.map((name) => name.trim().toLowerCase())
  try {
    const records = parse<{ info: Info; record: Record<string, string> }>(text, {
      columns,
      delimiter,
      info: true,
      relax_column_count_less: true,
      relax_quotes: true,
      skip_empty_lines: true,
      skip_records_with_empty_values: true,
      trim: true,
    })
    return records.map(({ info, record }) => {
      const given = Object.entries(record).filter(([, value]) => value !== '')
      return { line: info.lines, fields: Object.fromEntries(given) }
    })
  } catch (error) {
    if (!(error instanceof CsvError)) throw error
    throw new ImportFileError(`line ${error.lines}: ${problemOf(error.code)}`)
  }
}

/** The messages of the library may repeat a part of the text. */
function problemOf(code: CsvError['code']): string {
  if (code === 'CSV_QUOTE_NOT_CLOSED') return 'a quote is not closed'
  if (code === 'CSV_RECORD_INCONSISTENT_COLUMNS') return 'more columns than the header'
  return `not valid CSV (${code})`
}
