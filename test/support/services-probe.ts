import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import pg from 'pg'

/** A server on this machine answers in milliseconds, and on a loaded one within seconds. */
const probeTimeoutMs = 5000

/** The oldest major version PostgreSQL's own project still keeps alive. */
const oldestPostgres = 14

/** Each of them takes a connection of the server, which the tests need as well. */
const DROPS_AT_ONCE = 8

/**
 * Checks that the tests can use the PostgreSQL at `url`, and returns its version.
 *
 * @throws {Error} names the reason: unreachable, too old, or a role without CREATEDB
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
 * Checks that the Redis at `url` answers PING, and returns its version.
 *
 * @throws {Error} names the reason
 */
export async function probeRedis(url: string): Promise<string> {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: probeTimeoutMs,
    commandTimeout: probeTimeoutMs,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  })
  // After a failed connect(), ioredis throws "Connection is closed." and emits the cause as an
  // event.
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
 * Waits until a server that was just started answers `probe`. A start takes two seconds on an idle
 * machine; the limit is a minute.
 *
 * @param isAlive returns false when the server has ended, so that the wait ends early
 * @throws {Error} the error of the last probe, or the reason of the signal
 */
export async function untilAnswers(
  probe: () => Promise<unknown>,
  { signal, isAlive = () => true }: { signal: AbortSignal | undefined; isAlive?: () => boolean },
): Promise<void> {
  const deadline = Date.now() + 60_000
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
 * Drops databases named `amo_test_*` that a killed run has left behind, and returns their names. A
 * database counts as left behind when it has no connection and is older than an hour, so that
 * another run keeps its template. Only superusers see the age; another role drops nothing.
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

/**
 * Drops the databases of test files that have ended, several at the same time: each drop waits for
 * a checkpoint, and they share it.
 */
export async function dropDatabasesOf(url: string, owners: readonly string[]): Promise<void> {
  const prefixes = owners.map((owner) => `amo_test_${owner}_`)
  const names = await withPostgres(url, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      'select datname as name from pg_database where datname ^@ any($1)',
      [prefixes],
    )
    return rows.map(({ name }) => name).values()
  })
  const lane = () =>
    withPostgres(url, async (client) => {
      for (const name of names) await client.query(`drop database if exists ${name} with (force)`)
    })
  await Promise.all(Array.from({ length: DROPS_AT_ONCE }, lane))
}

/** Describes a server by host, port and user, never by its password. */
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
    query_timeout: 30_000, // DROP DATABASE waits for a checkpoint, which takes long on a busy disk
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
