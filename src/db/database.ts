import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Kysely } from 'kysely'
import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import { applicationName, openPostgres } from './postgres.ts'
import type { Tables } from './tables.ts'

export interface Subscription {
  /** What to do with a notification's payload, by channel. */
  channels: ReadonlyMap<string, (payload: string) => void>
  /** Called whenever LISTEN begins anew: what was notified before may have been missed. */
  onConnected(): void
}

/**
 * The durable truth, PostgreSQL or PGlite behind one face.
 * `db` serves everything; `claims` is a small pool of its own for claims and commits, so that no
 * flood of reads can keep a received pair waiting for a connection.
 */
export interface Database {
  db: Kysely<Tables>
  claims: Kysely<Tables>
  /** Listens until the database is closed, connecting again by itself. Called once. */
  listen(subscription: Subscription): Promise<void>
  /** Drops the LISTEN connection, which is silent, for a new one. */
  listenAgain(): void
  /** Does `work` on a connection without a pooler in between: migrations take session locks. */
  withDirect<T>(work: (db: Kysely<Tables>) => Promise<T>): Promise<T>
  close(): Promise<void>
}

export async function openDatabase(config: Config, log: Logger): Promise<Database> {
  if (config.databaseUrl !== null && config.databaseDirectUrl !== null) {
    const name = applicationName(config.deploymentId)
    return openPostgres(config.databaseUrl, config.databaseDirectUrl, log, name)
  }
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 })
  // PGlite is loaded where it is used alone: it takes memory.
  const { openEmbedded } = await import('./embedded.ts')
  return openEmbedded(join(config.dataDir, 'pglite'), join(config.dataDir, 'lock.sqlite'))
}
