import { setTimeout as delay } from 'node:timers/promises'
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import type { Logger } from 'pino'
import type { Secret } from '../vault/secret.ts'
import type { Database, Subscription } from './database.ts'
import { codeOf } from './failures.ts'
import type { Tables } from './tables.ts'

/** Connections for everything, and for claims and commits alone (design: a small pool of their own). */
const POOL_SIZE = 10
const CLAIM_POOL_SIZE = 4
const CONNECT_TIMEOUT_MS = 2_000
/** No statement of the broker takes longer on a healthy server; migrations have no limit. */
const QUERY_TIMEOUT_MS = 5_000
/** A little earlier the server itself gives up: a statement that was abandoned must not wait on, and be granted later. */
const STATEMENT_TIMEOUT_MS = 4_000
/**
 * Between two statements of a transaction pass milliseconds. A process that is frozen there, or cut off, would lock its
 * account's row until it is back: the server ends its session, and what it kept is committed by whoever comes next.
 */
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 4_000
const RELISTEN_DELAY_MS = 500
/** PostgreSQL cuts longer names off. */
const MAX_NAME_LENGTH = 63

/** `bigint` as a number: ids and generations stay far below 2^53. */
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) =>
    oid === pg.types.builtins.INT8 && format !== 'binary'
      ? Number
      : pg.types.getTypeParser(oid, format),
}

/**
 * After a time-out the server may still be busy with the query: such a connection is never used again. A connection that
 * breaks while it is in use fails its query, and must not end the process as well, as an error event without a
 * listener does.
 */
class BoundedClient extends pg.Client {
  constructor(config?: pg.ClientConfig) {
    super(config)
    this.on('error', () => {})
  }

  override query = ((...args: Parameters<pg.Client['query']>) => {
    const result: unknown = super.query(...args)
    if (result instanceof Promise) result.catch((error: Error) => this.#endAfterTimeout(error))
    return result
  }) as pg.Client['query']

  #endAfterTimeout(error: Error): void {
    if (error.message === 'Query read timeout') this.end().catch(() => {})
  }
}

/** As which a broker's sessions show up in pg_stat_activity: `npm run adopt` looks for those of the other deployment. */
export function applicationName(deploymentId: string): string {
  return `amo-token-broker ${deploymentId}`.slice(0, MAX_NAME_LENGTH)
}

export function openPostgres(
  url: Secret,
  directUrl: Secret,
  log: Logger,
  application_name = 'amo-token-broker',
): Database {
  const connection = (target: Secret) => ({
    connectionString: target.reveal(),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    application_name,
    types,
  })
  const open = (target: Secret, max: number, query_timeout: number) => {
    const pool = new pg.Pool({
      ...connection(target),
      max,
      query_timeout,
      Client: BoundedClient,
      // The pool's own hook: it drops a connection that is lost meanwhile, where Kysely's would keep it taken for ever.
      async onConnect(client) {
        // By a statement: a pooler in between may refuse it as a parameter of the start.
        if (query_timeout === 0) return
        await client.query(`set statement_timeout = ${STATEMENT_TIMEOUT_MS};
          set idle_in_transaction_session_timeout = ${IDLE_IN_TRANSACTION_TIMEOUT_MS}`)
      },
    })
    pool.on('error', (error) => log.warn({ code: codeOf(error) }, 'idle database connection lost'))
    return new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
  }
  const db = open(url, POOL_SIZE, QUERY_TIMEOUT_MS)
  const claims = open(url, CLAIM_POOL_SIZE, QUERY_TIMEOUT_MS)
  const listener = new Listener(() => new BoundedClient(connection(directUrl)), log)
  return {
    db,
    claims,
    listen: (subscription) => listener.start(subscription),
    listenAgain: () => listener.reconnect(),
    async withDirect(work) {
      const direct = open(directUrl, 1, 0)
      try {
        return await work(direct)
      } finally {
        await direct.destroy()
      }
    },
    async close() {
      await listener.close()
      await Promise.all([db.destroy(), claims.destroy()])
    },
  }
}

/** One connection that LISTENs, made anew whenever it ends. */
class Listener {
  readonly #connect: () => pg.Client
  readonly #log: Logger
  readonly #closing = new AbortController()
  #client: pg.Client | undefined
  #running: Promise<void> | undefined

  constructor(connect: () => pg.Client, log: Logger) {
    this.#connect = connect
    this.#log = log
  }

  /** Resolves once LISTEN holds; a server that is down at start is waited for in the background. */
  async start(subscription: Subscription): Promise<void> {
    const first = Promise.withResolvers<void>()
    this.#running = this.#run(subscription, first.resolve)
    await Promise.race([first.promise, delay(CONNECT_TIMEOUT_MS, undefined, { ref: false })])
  }

  reconnect(): void {
    this.#client?.connection.stream.destroy()
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.reconnect()
    await this.#running
  }

  async #run(subscription: Subscription, onFirst: () => void): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted) {
      const client = this.#connect()
      const ended = new Promise<void>((resolve) => client.once('end', resolve))
      client.on('notification', ({ channel, payload }) =>
        subscription.channels.get(channel)?.(payload ?? ''),
      )
      this.#client = client
      try {
        await client.connect()
        for (const channel of subscription.channels.keys()) {
          await client.query(`listen ${client.escapeIdentifier(channel)}`)
        }
        subscription.onConnected()
        onFirst()
        await ended
      } catch (error) {
        if (!signal.aborted) this.#log.warn({ code: codeOf(error) }, 'LISTEN connection failed')
      }
      client.end().catch(() => {})
      await delay(RELISTEN_DELAY_MS, undefined, { signal }).catch(() => {})
    }
  }
}
