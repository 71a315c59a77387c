import { chmodSync, lstatSync, mkdirSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { PGlite } from '@electric-sql/pglite'
import { CompiledQuery, Kysely, PGliteDialect } from 'kysely'
import type { Logger } from 'pino'
import { Beats } from './beats.ts'
import type { Database } from './database.ts'
import type { Statement } from './select.ts'
import { Storage } from './storage-state.ts'
import type { Tables } from './tables.ts'

/**
 * Opens PGlite in a folder, for one process only. Throws when another process uses the folder.
 *
 * PGlite itself would let two processes open the folder, which destroys it. An exclusive SQLite
 * transaction guards it: that is a kernel lock, so it ends with the process.
 */
export async function openEmbedded(
  folder: string,
  lockFile: string,
  log: Logger,
): Promise<Database> {
  closeToOthers(dirname(lockFile), folder)
  await using opening = new AsyncDisposableStack()
  const lock = takeLock(lockFile)
  opening.defer(() => lock.close())
  const pglite = await PGlite.create(folder)
  closeToOthers(dirname(lockFile), folder)
  const db = new Kysely<Tables>({ dialect: new PGliteDialect({ pglite }) })
  opening.defer(() => db.destroy())
  // The audit shows what a session calls itself.
  await pglite.exec(`set application_name = 'amo-token-broker'`)
  const open = opening.move()
  return {
    storage: new Storage(log),
    db,
    claims: db,
    reads: db,
    // There is only this server, and the folder is locked.
    beats: new Beats(db, false),
    async select<Row extends object>({ text }: Statement, values: unknown[]) {
      return (await db.executeQuery<Row>(CompiledQuery.raw(text, values))).rows
    },
    async listen({ channels, onConnected }) {
      for (const [channel, onPayload] of channels) await pglite.listen(channel, onPayload)
      onConnected()
    },
    pools: () => [],
    hears: () => Promise.resolve(true),
    listenAgain() {},
    withDirect: (work) => work(db),
    async close() {
      await open.disposeAsync()
      closeToOthers(dirname(lockFile), folder)
    },
  }
}

/** Mode bits of the group and of others. */
const ANYONE_ELSE = 0o077

/**
 * Makes the data folder, the storage and everything in them accessible to their owner only,
 * whatever they were. PGlite creates files with mode 0666 and ignores the umask. Nobody else gets
 * through the folder to those of this run, and the next start closes them too.
 */
function closeToOthers(dataDir: string, folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  for (const path of [dataDir, ...listAll(dataDir)]) {
    const { mode } = lstatSync(path)
    if ((mode & ANYONE_ELSE) === 0) continue
    try {
      chmodSync(path, mode & ~ANYONE_ELSE)
    } catch (error) {
      // A volume whose root belongs to another user. What is in it is closed.
      if (path !== dataDir || (error as NodeJS.ErrnoException).code !== 'EPERM') throw error
    }
  }
}

function listAll(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isDirectory() || entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}

function takeLock(lockFile: string): DatabaseSync {
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
