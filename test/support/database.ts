import { createHash, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import pg from 'pg'
import { pino } from 'pino'
import { migrateToLatest } from '../../src/db/migrate.ts'
import { openPostgres } from '../../src/db/postgres.ts'
import { Secret } from '../../src/vault/secret.ts'
import type { Scope } from './scope.ts'

const FOLDER = new URL('../../sql/', import.meta.url)

/** The server that `test/run.ts` found. */
export function serverUrl(): string {
  const url = process.env.TEST_DATABASE_URL
  if (url === undefined) throw new Error('run the tests with npm test [-- test/some.test.ts]')
  return url
}

export function redisUrl(): string {
  const url = process.env.TEST_REDIS_URL
  if (url === undefined) throw new Error('run the tests with npm test [-- test/some.test.ts]')
  return url
}

/** A database of this test's own, migrated; it is dropped when the test ends. */
export async function createDatabase(t: Scope): Promise<string> {
  const template = await migratedTemplate()
  return cloneDatabase(t, template)
}

/** A database of this test's own with nothing in it. */
export function createEmptyDatabase(t: Scope): Promise<string> {
  return cloneDatabase(t, 'template1')
}

/** A copy of a database that nobody is connected to. */
export function copyDatabase(t: Scope, url: string): Promise<string> {
  return cloneDatabase(t, new URL(url).pathname.slice(1))
}

async function cloneDatabase(t: Scope, template: string): Promise<string> {
  const name = `amo_test_${randomBytes(6).toString('hex')}`
  await onServer((client) => client.query(`create database ${name} template ${template}`))
  t.teardown(() => onServer((client) => client.query(`drop database ${name} with (force)`)))
  return withDatabase(name)
}

/** One statement on a database, for what tests look at or change behind the broker's back. */
export async function query<T extends pg.QueryResultRow = pg.QueryResultRow>(
  url: string,
  text: string,
  values: unknown[] = [],
): Promise<T[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<T>(text, values)).rows
  } finally {
    await client.end()
  }
}

/** Made by whichever test file comes first, and used by all: one a schema. */
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
