import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { query } from './database.ts'

const ROOT = join(import.meta.dirname, '../..')
const SQL = join(ROOT, 'sql')
const FIXTURE = join(ROOT, 'test/fixtures/schema-0.1.0.json')

export interface Column {
  table: string
  column: string
  type: string
  isRequired: boolean
  hasDefault: boolean
}

/** What a release left in `sql/` and in the database. */
interface ReleasedSchema {
  version: string
  /** Hash of each file, without its comments and white space. */
  files: Record<string, string>
  columns: Column[]
}

/** Returns the schema of the last release, as it was recorded. */
export function readReleasedSchema(): ReleasedSchema {
  return JSON.parse(readFileSync(FIXTURE, 'utf8'))
}

/** Records the present schema as that of the release. */
export async function writeReleasedSchema(databaseUrl: string): Promise<void> {
  const schema: ReleasedSchema = {
    version: '0.1.0',
    files: hashMigrations(),
    columns: await readColumns(databaseUrl),
  }
  writeFileSync(FIXTURE, `${JSON.stringify(schema, null, 2)}\n`)
}

export function hashMigrations(): Record<string, string> {
  const files = readdirSync(SQL).filter((name) => name.endsWith('.sql'))
  return Object.fromEntries(
    files.toSorted().map((name) => {
      const text = readFileSync(join(SQL, name), 'utf8')
      const statements = text.replaceAll(/^\s*--.*$/gm, '').replaceAll(/\s+/g, ' ')
      return [name, createHash('sha256').update(statements).digest('hex').slice(0, 16)]
    }),
  )
}

/** Returns the columns of all tables of the broker. */
export function readColumns(databaseUrl: string): Promise<Column[]> {
  return query<Column & Record<string, unknown>>(
    databaseUrl,
    `select table_name as "table", column_name as "column", data_type as "type",
            is_nullable = 'NO' as "isRequired",
            column_default is not null or is_identity = 'YES' or is_generated = 'ALWAYS' as "hasDefault"
     from information_schema.columns
     where table_schema = current_schema and table_name like 'amo\\_%'
     order by table_name, ordinal_position`,
  )
}

/**
 * Compares two schemas by the rule "expand first, contract later".
 *
 * @returns what breaks a program of the version before: what it reads is gone, or what it inserts
 * is
 *   refused
 */
export function findContractions(before: Column[], after: Column[]): string[] {
  const nameOf = ({ table, column }: Column) => `${table}.${column}`
  const now = new Map(after.map((each) => [nameOf(each), each]))
  const known = new Map(before.map((each) => [nameOf(each), each]))
  const tables = new Set(before.map(({ table }) => table))
  const found: string[] = []
  for (const [name, old] of known) {
    const present = now.get(name)
    if (present === undefined) found.push(`${name} is gone`)
    else if (present.type !== old.type) found.push(`${name} is ${present.type} now`)
    else if (present.isRequired && !present.hasDefault && (!old.isRequired || old.hasDefault)) {
      found.push(`${name} must be given now`)
    }
  }
  for (const [name, { table, isRequired, hasDefault }] of now) {
    if (known.has(name) || !tables.has(table)) continue
    if (isRequired && !hasDefault) found.push(`${name} is new and must be given`)
  }
  return found
}
