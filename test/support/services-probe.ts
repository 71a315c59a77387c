import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import pg from 'pg'

/** A server on this machine answers in milliseconds; what needs longer is not there. */
const probeTimeoutMs = 1500

/** The oldest major version PostgreSQL's own project still keeps alive. */
const oldestPostgres = 14

/**
 * Guarantees that `url` leads to a PostgreSQL the tests can use, and names its version.
 *
 * @throws {Error} says why not: unreachable, too old, or a role without CREATEDB
 */
export async function probePostgres(url: string): Promise<string> {
  return withPostgres(url, async (client) => {
    const { rows } = await client.query<{ version: string; number: number; creates: boolean }>(
      `select split_part(current_setting('server_version'), ' ', 1) as version,
              current_setting('server_version_num')::int as number,
              rolcreatedb or rolsuper as creates
         from pg_roles where rolname = current_user`,
    )
    const [row] = rows
    if (!row) throw new Error('gave no answer')
    if (row.number < oldestPostgres * 10_000) {
      throw new Error(`version ${row.version} is too old, ${oldestPostgres} is needed`)
    }
    if (!row.creates) throw new Error('the role may not CREATE DATABASE')
    return `PostgreSQL ${row.version}`
  })
}

/**
 * Guarantees that `url` leads to a Redis that answers PING, and names its version.
 *
 * @throws {Error} says why not
 */
export async function probeRedis(url: string): Promise<string> {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: probeTimeoutMs,
    commandTimeout: probeTimeoutMs,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  })
  // ioredis answers a failed connect() with "Connection is closed."; the cause comes as an event.
  let cause: Error | undefined
  redis.on('error', (error: Error) => {
    cause = error
  })
  try {
    await redis.connect()
    await redis.ping()
    const version = /redis_version:(\S+)/.exec(await redis.info('server'))?.[1]
    return `Redis ${version ?? 'of unknown version'}`
  } catch (error) {
    throw cause ?? error
  } finally {
    redis.disconnect()
  }
}

/**
 * Waits until a server that was just started answers `probe`: 20 s at the most, ten times what a
 * start takes on an idle machine.
 *
 * @param isAlive tells early that the wait is in vain
 * @throws {Error} the last probe's error, or the signal's reason
 */
export async function untilAnswers(
  probe: () => Promise<unknown>,
  { signal, isAlive = () => true }: { signal: AbortSignal | undefined; isAlive?: () => boolean },
): Promise<void> {
  const deadline = Date.now() + 20_000
  for (;;) {
    signal?.throwIfAborted()
    try {
      await probe()
      return
    } catch (error) {
      if (!isAlive() || Date.now() > deadline) throw error
      await sleep(50)
    }
  }
}

/**
 * Drops databases named `amo_test_*` that an earlier, killed run has left, and returns their names.
 * Left means: nobody is connected, and it is older than an hour, so that a run going on next door
 * keeps its template. A role that may not see the age (only superusers may) drops nothing.
 */
export async function dropLeftovers(url: string): Promise<string[]> {
  return withPostgres(url, async (client) => {
    const { rows } = await client.query<{ name: string; quoted: string }>(
      `select datname as name, quote_ident(datname) as quoted from pg_database d
        where datname like 'amo\\_test\\_%'
          and not exists (select from pg_stat_activity a where a.datid = d.oid)
          and (pg_stat_file('base/' || oid || '/PG_VERSION', true)).modification
              < now() - interval '1 hour'
        limit 50`,
    )
    const dropped: string[] = []
    for (const { name, quoted } of rows) {
      await client.query(`drop database if exists ${quoted}`)
      dropped.push(name)
    }
    return dropped
  })
}

/** Names a server for people: host, port and user, never the password. */
export function describeUrl(url: string): string {
  if (!URL.canParse(url)) return 'a value that is no URL'
  const { hostname, port, username, searchParams } = new URL(url)
  const place = searchParams.get('host') ?? (port ? `${hostname}:${port}` : hostname)
  return username ? `${place} as ${decodeURIComponent(username)}` : place
}

async function withPostgres<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: probeTimeoutMs,
    query_timeout: 5000, // DROP DATABASE waits for a checkpoint, which a busy disk draws out
    application_name: 'amo-test-runner',
  })
  client.on('error', () => {}) // a connection lost between two queries shows in the next query
  try {
    await client.connect()
    return await use(client)
  } finally {
    await client.end().catch(() => {})
  }
}
