import { migrateToLatest } from '../db/migrate.ts'
import { withDatabase } from './with-database.ts'

/** Brings the database to the newest schema, and says which migrations that took. */
export function migrate(): Promise<void> {
  return withDatabase(async (_config, database) => {
    const done = await database.withDirect(migrateToLatest)
    console.log(done.length === 0 ? 'nothing to migrate' : `migrated: ${done.join(', ')}`)
  })
}
