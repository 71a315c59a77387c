import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import type { Logger } from 'pino'
import { connectionSettings } from '../config/connection-settings.ts'
import type { Secret } from '../vault/secret.ts'
import { Beats } from './beats.ts'
import { claimPoolSizeFor } from './claim-pool.ts'
import type { Database } from './database.ts'
import { hears } from './hears.ts'
import { Listener } from './listener.ts'
import { openPool, useOf } from './pool.ts'
import { preparedSelects } from './select.ts'
import { BoundedClient, SessionSetup } from './session.ts'
import { Storage } from './storage-state.ts'
import type { Tables } from './tables.ts'

/** Connections for everything, for reads, and for the heartbeat. */
const POOL_SIZES = { db: 6, reads: 3, beats: 1 } as const
/** Connections of one replica at the default pace: its pools and LISTEN. */
export const CONNECTIONS_A_REPLICA = 15
/**
 * The heartbeat makes a new connection after this many beats, so that a server that took over the
 * address is found even while sessions to the old one stay open.
 */
const BEATS_A_SESSION = 4
const CONNECT_TIMEOUT_MS = 2_000
/** No statement of the broker takes longer on a healthy server; migrations have no limit. */
const QUERY_TIMEOUT_MS = 5_000
/** A beat that takes longer is given up, so that the next one makes a new connection. */
const BEAT_TIMEOUT_MS = 2_000
/** PostgreSQL truncates longer names. */
const MAX_NAME_LENGTH = 63

/** Reads `bigint` as a number: ids and generations stay far below 2^53. */
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) =>
    oid === pg.types.builtins.INT8 && format !== 'binary'
      ? Number
      : pg.types.getTypeParser(oid, format),
}

/**
 * Returns the name of a broker's sessions in pg_stat_activity, where `amo-broker adopt` looks for
 * the other deployment.
 */
export function applicationName(deploymentId: string): string {
  return `amo-token-broker ${deploymentId}`.slice(0, MAX_NAME_LENGTH)
}

/** Opens the pools. Nothing connects before the first query. */
export function openPostgres(
  url: Secret,
  directUrl: Secret,
  log: Logger,
  application_name = 'amo-token-broker',
  claimPoolSize = claimPoolSizeFor(0),
): Database {
  const storage = new Storage(log)
  const setup = new SessionSetup(storage)
  const connection = (target: Secret) => ({
    ...connectionSettings(target),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    application_name,
    types,
  })
  const open = (target: Secret, config: pg.PoolConfig, isChecked = true) => {
    const hasTimeLimits = config.query_timeout !== undefined
    const prepare = async (client: pg.ClientBase) => {
      await setup.prepare(client, hasTimeLimits)
      if (isChecked) await setup.check(client)
    }
    const { pool, retire } = openPool({ ...connection(target), ...config, prepare, log })
    return { kysely: new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) }), retire, pool }
  }
  const limited = (max: number) => ({ max, query_timeout: QUERY_TIMEOUT_MS })
  const db = open(url, limited(POOL_SIZES.db))
  const claims = open(url, limited(claimPoolSize))
  const reads = open(url, limited(POOL_SIZES.reads))
  const beats = open(
    url,
    { max: POOL_SIZES.beats, query_timeout: BEAT_TIMEOUT_MS, maxUses: BEATS_A_SESSION },
    false,
  )
  const listener = new Listener(() => new BoundedClient(connection(directUrl)), log)
  const pools = Object.entries({ db, claims, reads, beats })
  storage.onNewServer(() => {
    for (const [, { retire }] of pools) retire()
    listener.reconnect()
  })
  return {
    storage,
    db: db.kysely,
    claims: claims.kysely,
    reads: reads.kysely,
    beats: new Beats(beats.kysely, true),
    select: preparedSelects(reads.pool),
    listen: (subscription) => listener.start(subscription),
    pools: () => pools.map(([name, { pool }]) => useOf(name, pool)),
    hears: () => hears(() => new BoundedClient(connection(directUrl))),
    listenAgain: () => listener.reconnect(),
    async withDirect(work) {
      const { kysely } = open(directUrl, { max: 1 }, false)
      try {
        return await work(kysely)
      } finally {
        await kysely.destroy()
      }
    },
    async close() {
      await listener.close()
      await Promise.all(pools.map(([, { kysely }]) => kysely.destroy()))
    },
  }
}
