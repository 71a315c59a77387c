import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { query } from './database.ts'
import { findPostgresBinaries } from './services-local.ts'

const run = promisify(execFile)

/** Writes a dump of a database that is in use. */
export async function dump(databaseUrl: string, file: string): Promise<void> {
  await run(join(findPostgresBinaries(), 'pg_dump'), ['-Fc', '-f', file, '-d', databaseUrl])
}

/** Creates the database and restores a dump into it. */
export async function restoreDump(databaseUrl: string, file: string): Promise<void> {
  await onServer(databaseUrl, (name) => `create database ${name}`)
  const options = ['--no-owner', '--exit-on-error', '-d', databaseUrl, file]
  await run(join(findPostgresBinaries(), 'pg_restore'), options)
}

/**
 * Takes a database away from everybody in one moment, and keeps it under another name. Returns its
 * new URL.
 */
export async function takeAway(databaseUrl: string): Promise<string> {
  const lost = new URL(databaseUrl)
  lost.pathname += '_lost'
  await onServer(databaseUrl, (name) => `alter database ${name} allow_connections false`)
  await onServer(
    databaseUrl,
    (name) => `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`,
  )
  await onServer(databaseUrl, (name) => `alter database ${name} rename to ${name}_lost`)
  await onServer(lost.href, (name) => `alter database ${name} allow_connections true`)
  return lost.href
}

export async function dropDatabase(databaseUrl: string): Promise<void> {
  await onServer(databaseUrl, (name) => `drop database if exists ${name} with (force)`)
}

async function onServer(databaseUrl: string, statement: (name: string) => string): Promise<void> {
  const server = new URL(databaseUrl)
  const name = server.pathname.slice(1)
  server.pathname = '/postgres'
  await query(server.href, statement(name))
}
