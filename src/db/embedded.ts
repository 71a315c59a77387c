import { DatabaseSync } from 'node:sqlite'
import { PGlite } from '@electric-sql/pglite'
import { Kysely, PGliteDialect } from 'kysely'
import type { Database } from './database.ts'
import type { Tables } from './tables.ts'

/**
 * PGlite in a folder, for one process only. PGlite itself would let two processes open the folder and
 * destroy it, so an exclusive SQLite transaction, which is a kernel lock and dies with the process, guards it.
 * Throws when another process holds the folder.
 */
export async function openEmbedded(folder: string, lockFile: string): Promise<Database> {
  const lock = holdLock(lockFile)
  const pglite = await PGlite.create(folder)
  // As every connection of a broker is called: the audit tells it from psql.
  await pglite.exec(`set application_name = 'amo-token-broker'`)
  const db = new Kysely<Tables>({ dialect: new PGliteDialect({ pglite }) })
  return {
    db,
    claims: db,
    async listen({ channels, onConnected }) {
      for (const [channel, onPayload] of channels) await pglite.listen(channel, onPayload)
      onConnected()
    },
    listenAgain() {},
    withDirect: (work) => work(db),
    async close() {
      await db.destroy()
      lock.close()
    },
  }
}

function holdLock(lockFile: string): DatabaseSync {
  const lock = new DatabaseSync(lockFile)
  try {
    lock.exec('begin exclusive')
    return lock
  } catch (error) {
    lock.close()
    throw new Error(
      `${lockFile} is held: another broker uses this DATA_DIR. Stop it, or give this one its own DATA_DIR.`,
      { cause: error },
    )
  }
}
