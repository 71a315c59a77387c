import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Kysely } from 'kysely'
import type { Logger } from 'pino'
import type { Config } from '../config/load-config.ts'
import type { Beats } from './beats.ts'
import { claimPoolSizeFor } from './claim-pool.ts'
import type { PoolUse } from './pool.ts'
import { applicationName, openPostgres } from './postgres.ts'
import type { Select } from './select.ts'
import type { Storage } from './storage-state.ts'
import type { Tables } from './tables.ts'

export interface Subscription {
  /** A handler of payloads for each channel. */
  channels: ReadonlyMap<string, (payload: string) => void>
  /** Called whenever LISTEN starts anew: earlier notifications may have been missed. */
  onConnected(): void
}

/**
 * PostgreSQL or PGlite behind one interface. `db` serves everything that has no pool of its own.
 * `claims` serves claims and commits, so that a flood of reads cannot keep a received pair waiting
 * for a connection. `reads` serves only reads of tokens and of clients, and `beats` only the
 * heartbeat, so that nothing else can take their connections.
 */
export interface Database {
  storage: Storage
  db: Kysely<Tables>
  claims: Kysely<Tables>
  reads: Kysely<Tables>
  beats: Beats
  /** Runs a select of the read path, with the connections of `reads`. */
  select: Select
  /** Listens until the database is closed, and reconnects by itself. Called once. */
  listen(subscription: Subscription): Promise<void>
  /** Returns how each pool of connections is used now. Embedded storage has none. */
  pools(): PoolUse[]
  /** Whether notifications arrive where LISTEN is accepted. Throws without a connection. */
  hears(): Promise<boolean>
  /** Replaces the LISTEN connection, which is silent, by a new one. */
  listenAgain(): void
  /** Runs `work` on a connection without a pooler, because migrations take session locks. */
  withDirect<T>(work: (db: Kysely<Tables>) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** Opens the database that the settings name: PostgreSQL, or embedded storage in DATA_DIR. */
export async function openDatabase(config: Config, log: Logger): Promise<Database> {
  if (config.databaseUrl !== null && config.databaseDirectUrl !== null) {
    const name = applicationName(config.deploymentId)
    const poolSize = claimPoolSizeFor(config.pacePerSecond)
    return openPostgres(config.databaseUrl, config.databaseDirectUrl, log, name, poolSize)
  }
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 })
  // Loaded only where it is used, because PGlite takes memory.
  const { openEmbedded } = await import('./embedded.ts')
  return openEmbedded(join(config.dataDir, 'pglite'), join(config.dataDir, 'lock.sqlite'), log)
}
