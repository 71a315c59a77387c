import { readdir, readFile } from 'node:fs/promises'
import { type Kysely, sql } from 'kysely'
import { type MigrationProvider, Migrator } from 'kysely/migration'
import {
  compareVersions,
  getOldestVersion,
  oldestVersionOf,
  recordOldestVersion,
  VERSION,
} from './schema-version.ts'
import type { Tables } from './tables.ts'

const FOLDER = new URL('../../sql/', import.meta.url)
/** A migration of the layout before the first release, which no migration leads away from. */
const UNRELEASED_LAYOUT = '001_tables'

/**
 * The database cannot be used by this version. Waiting does not help: the message says what to do.
 */
export class SchemaUnusable extends Error {
  override readonly name = 'SchemaUnusable'
}

interface SchemaState {
  /** Names of the migrations that have not run yet: all of them on an empty database. */
  pending: string[]
  /** The database has migrations of a newer version, beside which this version can run. */
  isNewer: boolean
}

/**
 * Compares the database with `sql/`. Throws `SchemaUnusable` when this version cannot run on it.
 */
export async function findSchemaState(db: Kysely<Tables>, version = VERSION): Promise<SchemaState> {
  const migrations = await new Migrator({ db, provider: sqlFiles }).getMigrations()
  const pending = migrations.filter(({ executedAt }) => executedAt === undefined)
  const known = new Set(migrations.map(({ name }) => name))
  const unknown = (await findExecuted(db)).filter((name) => !known.has(name))
  if (unknown.includes(UNRELEASED_LAYOUT)) {
    throw new SchemaUnusable(
      'the database was made by a version before the first release, and cannot be migrated. Give this version an ' +
        'empty database (DATABASE_URL; in embedded mode an empty DATA_DIR) and connect the accounts again.',
    )
  }
  if (unknown.length > 0) await checkNewer(db, unknown, pending.length, version)
  return { pending: pending.map(({ name }) => name), isNewer: unknown.length > 0 }
}

/** Returns the names of the migrations that have not run yet. Throws like `findSchemaState`. */
export async function pendingMigrations(db: Kysely<Tables>): Promise<string[]> {
  return (await findSchemaState(db)).pending
}

/**
 * Brings the database to the schema of this version and returns the names of the migrations that it
 * ran. Leaves a newer schema as it is. Several callers at once are safe: the Migrator holds an
 * advisory lock.
 */
export async function migrateToLatest(
  db: Kysely<Tables>,
): Promise<{ migrated: string[]; isNewer: boolean }> {
  const { isNewer } = await findSchemaState(db)
  if (isNewer) return { migrated: [], isNewer }
  const { error, results = [] } = await new Migrator({ db, provider: sqlFiles }).migrateToLatest()
  if (error !== undefined) throw error
  return { migrated: results.map(({ migrationName }) => migrationName), isNewer }
}

/**
 * Reads `sql/*.sql` in the order of their names. Each file runs as a whole, in the Migrator's one
 * transaction.
 */
const sqlFiles: MigrationProvider = {
  async getMigrations() {
    const files = (await readdir(FOLDER)).filter((name) => name.endsWith('.sql'))
    const entries = files.map(async (file) => {
      const text = await readFile(new URL(file, FOLDER), 'utf8')
      const oldestVersion = oldestVersionOf(file, text)
      const up = async (db: Kysely<unknown>) => {
        // One DO block, because PGlite takes one statement per call. Function bodies quote with $$.
        await sql.raw(`do $migration$ begin\n${text}\nend $migration$`).execute(db)
        await recordOldestVersion(db, oldestVersion)
      }
      return [file.replace(/\.sql$/, ''), { up }] as const
    })
    return Object.fromEntries(await Promise.all(entries))
  },
}

/**
 * Returns the names of all migrations that were run on the database, those of other versions
 * included.
 */
async function findExecuted(db: Kysely<Tables>): Promise<string[]> {
  const { rows: found } = await sql<{ table: string | null }>`
    select to_regclass('kysely_migration')::text as table
  `.execute(db)
  if (found[0]?.table == null) return []
  const { rows } = await sql<{ name: string }>`
    select name from kysely_migration order by name
  `.execute(db)
  return rows.map(({ name }) => name)
}

async function checkNewer(
  db: Kysely<Tables>,
  unknown: string[],
  pendingCount: number,
  version: string,
): Promise<void> {
  const names = unknown.join(', ')
  if (pendingCount > 0) {
    throw new SchemaUnusable(
      `the database has migrations of another version (${names}) and lacks some of this one: run the newest version`,
    )
  }
  const oldest = await getOldestVersion(db)
  if (compareVersions(version, oldest) >= 0) return
  throw new SchemaUnusable(
    `the database is too new for this version: it has ${names} and needs version ${oldest} or newer, this is ${version}`,
  )
}
