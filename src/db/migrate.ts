import { readdir, readFile } from 'node:fs/promises'
import { type Kysely, sql } from 'kysely'
import { type MigrationProvider, Migrator } from 'kysely/migration'
import type { Tables } from './tables.ts'

const FOLDER = new URL('../../sql/', import.meta.url)

/** `sql/*.sql` in the order of their names, each run whole and in the one transaction of the Migrator. */
const sqlFiles: MigrationProvider = {
  async getMigrations() {
    const names = (await readdir(FOLDER)).filter((name) => name.endsWith('.sql'))
    const entries = names.map(async (name) => {
      const text = await readFile(new URL(name, FOLDER), 'utf8')
      // One DO block, since PGlite takes one statement a call. Function bodies quote with $$.
      const up = async (db: Kysely<unknown>) => {
        await sql.raw(`do $migration$ begin\n${text}\nend $migration$`).execute(db)
      }
      return [name.replace(/\.sql$/, ''), { up }] as const
    })
    return Object.fromEntries(await Promise.all(entries))
  },
}

/**
 * Brings the database to the newest schema and returns the names of the migrations it ran.
 * Safe when several replicas start at once: the Migrator holds an advisory lock meanwhile.
 */
export async function migrateToLatest(db: Kysely<Tables>): Promise<string[]> {
  const { error, results = [] } = await new Migrator({ db, provider: sqlFiles }).migrateToLatest()
  if (error !== undefined) throw error
  return results.map(({ migrationName }) => migrationName)
}

/** The migrations that have not run yet; all of them on an empty database. */
export async function pendingMigrations(db: Kysely<Tables>): Promise<string[]> {
  const migrations = await new Migrator({ db, provider: sqlFiles }).getMigrations()
  return migrations.filter(({ executedAt }) => executedAt === undefined).map(({ name }) => name)
}
