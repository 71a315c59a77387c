import pg from 'pg'
import type { Logger } from 'pino'
import { codeOf } from './failures.ts'
import { BoundedClient } from './session.ts'

interface PoolOptions extends Omit<pg.PoolConfig, 'log'> {
  prepare: (client: pg.ClientBase) => Promise<void>
  log: Logger
}

/** A pool that can be told that its open sessions lead to the wrong server. */
export interface SessionPool {
  pool: pg.Pool
  /** Closes idle sessions now, and those that are in use when they are released. */
  retire(): void
}

/** How a pool is used now. */
export interface PoolUse {
  pool: string
  /** Connections that it may have. */
  size: number
  used: number
  /** Queries that wait for a connection. */
  waiting: number
}

/** Returns how a pool is used now. */
export function useOf(
  name: string,
  { options, totalCount, idleCount, waitingCount }: pg.Pool,
): PoolUse {
  return {
    pool: name,
    size: options.max,
    used: totalCount - idleCount,
    waiting: waitingCount,
  }
}

/** Opens a pool. Nothing connects before the first query. */
export function openPool({ prepare, log, ...config }: PoolOptions): SessionPool {
  const pool = new pg.Pool({
    ...config,
    Client: BoundedClient,
    // The pool's own hook drops a connection that is lost meanwhile. Kysely's hook would keep it
    // taken for ever.
    onConnect: prepare,
  })
  const idle = new Set<pg.PoolClient>()
  const used = new Set<pg.PoolClient>()
  const retired = new WeakSet<pg.PoolClient>()
  pool.on('acquire', (client) => {
    idle.delete(client)
    used.add(client)
  })
  pool.on('release', (_error, client) => {
    used.delete(client)
    const isSpent = client instanceof BoundedClient && client.isSpent
    if (isSpent || retired.has(client)) client.end()
    else idle.add(client)
  })
  pool.on('remove', (client) => {
    idle.delete(client)
    used.delete(client)
  })
  pool.on('error', (error) => log.debug({ code: codeOf(error) }, 'idle database connection lost'))
  return {
    pool,
    retire() {
      for (const client of used) retired.add(client)
      // The pool removes a session that breaks while it is idle.
      for (const client of idle) client.connection.stream.destroy()
    },
  }
}
