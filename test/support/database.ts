import { createHash, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import pg from 'pg'
import { pino } from 'pino'
import { migrateToLatest } from '../../src/db/migrate.ts'
import { openPostgres } from '../../src/db/postgres.ts'
import { Secret } from '../../src/vault/secret.ts'
import type { TeardownScope } from './teardown-scope.ts'

const FOLDER = new URL('../../sql/', import.meta.url)

/** Allows a statement to observe another one that waits for a lock. */
const POOL_SIZE = 4
/** Less than the five seconds that PostgreSQL waits for the users of a template to leave. */
const IDLE_LIMIT_MS = 300

/** Returns the URL of the server that `test/run.ts` found. */
export function serverUrl(): string {
  const url = process.env.TEST_DATABASE_URL
  if (url === undefined) throw new Error('run the tests with npm test [-- test/some.test.ts]')
  return url
}

/** Returns the URL of the Redis that `test/run.ts` found. */
export function redisUrl(): string {
  const url = process.env.TEST_REDIS_URL
  if (url === undefined) throw new Error('run the tests with npm test [-- test/some.test.ts]')
  return url
}

let migrated: Promise<string> | undefined

/** Creates a migrated database for this test. It is dropped some time after the test. */
export async function createDatabase(t: TeardownScope): Promise<string> {
  migrated ??= migratedTemplate()
  return cloneDatabase(t, await migrated)
}

/** Creates an empty database for this test. */
export function createEmptyDatabase(t: TeardownScope): Promise<string> {
  return cloneDatabase(t, 'template1')
}

/** Copies a database that has no connections. */
export function copyDatabase(t: TeardownScope, url: string): Promise<string> {
  return cloneDatabase(t, new URL(url).pathname.slice(1))
}

async function cloneDatabase(t: TeardownScope, template: string): Promise<string> {
  const owner = process.env.TEST_DATABASE_OWNER
  const name = `amo_test_${owner ?? 'none'}_${randomBytes(6).toString('hex')}`
  await query(serverUrl(), `create database ${name} template ${template}`)
  // `test/run.ts` drops the databases of several files together. Otherwise the drop is not awaited,
  // because it waits for a checkpoint: the process ends after it.
  if (owner === undefined) {
    t.teardown(() => {
      query(serverUrl(), `drop database ${name} with (force)`).catch(() => {})
    })
  }
  return withDatabase(name)
}

/**
 * Runs one statement on a database, to look at it or to change it without the broker. Its
 * connection stays open for a moment, because waits repeat a statement many times a second.
 */
export async function query<T extends pg.QueryResultRow = pg.QueryResultRow>(
  url: string,
  text: string,
  values: unknown[] = [],
): Promise<T[]> {
  return (await poolFor(url).query<T>(text, values)).rows
}

/** Makes every new session of the database read-only, and ends the present ones. */
export async function setReadOnly(url: string, isReadOnly: boolean): Promise<void> {
  const name = new URL(url).pathname.slice(1)
  const admin = new URL(url)
  admin.pathname = '/postgres'
  await query(
    admin.href,
    `alter database ${name} set default_transaction_read_only = ${isReadOnly}`,
  )
  await query(
    admin.href,
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = $1 and application_name like 'amo-token-broker%'`,
    [name],
  )
}

const pools = new Map<string, pg.Pool>()

function poolFor(url: string): pg.Pool {
  const known = pools.get(url)
  if (known !== undefined) return known
  const pool = new pg.Pool({
    connectionString: url,
    max: POOL_SIZE,
    idleTimeoutMillis: IDLE_LIMIT_MS,
    allowExitOnIdle: true,
  })
  // Tests drop databases and end connections while a connection of the pool is idle.
  pool.on('error', () => {})
  pools.set(url, pool)
  return pool
}

/** Returns the template of this schema. The first test file that needs it creates it for all. */
async function migratedTemplate(): Promise<string> {
  const hash = createHash('sha256')
  for (const file of readdirSync(FOLDER).sort()) hash.update(readFileSync(new URL(file, FOLDER)))
  const name = `amo_test_template_${hash.digest('hex').slice(0, 12)}`
  await onServer(async (client) => {
    await client.query('select pg_advisory_lock(20261122)')
    const { rows } = await client.query('select from pg_database where datname = $1', [name])
    if (rows.length > 0) return
    const draft = `${name}_draft`
    await client.query(`drop database if exists ${draft}`)
    await client.query(`create database ${draft}`)
    const url = new Secret(withDatabase(draft))
    const database = openPostgres(url, url, pino({ level: 'silent' }))
    await database.withDirect(migrateToLatest)
    await database.close()
    await client.query(`alter database ${draft} rename to ${name}`)
  })
  return name
}

async function onServer(work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: serverUrl() })
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}

function withDatabase(name: string): string {
  const url = new URL(serverUrl())
  url.pathname = `/${name}`
  return url.href
}
