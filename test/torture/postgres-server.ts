import { type ChildProcess, execFile } from 'node:child_process'
import { once } from 'node:events'
import { realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { pino } from 'pino'
import { migrateToLatest } from '../../src/db/migrate.ts'
import { openPostgres } from '../../src/db/postgres.ts'
import { Secret } from '../../src/vault/secret.ts'
import { query } from '../support/database.ts'
import { freePorts } from '../support/ports.ts'
import type { Scope } from '../support/scope.ts'
import {
  findOwner,
  findPostgresFolder,
  makeFolder,
  type Owner,
  startServer,
  untilReady,
} from '../support/services-local.ts'
import { probePostgres } from '../support/services-probe.ts'

const run = promisify(execFile)

const SETTINGS = [
  'listen_addresses=127.0.0.1',
  'unix_socket_directories=',
  'max_connections=150',
  'wal_level=replica',
  'hot_standby=on',
  // What the operating system has survives a crash of the server; a power cut is not what is tried here.
  'fsync=off',
]
const CATCH_UP_LIMIT_MS = 20_000

/** A PostgreSQL of the harness's own, from the local binaries: it may be crashed, and replaced by its standby. */
export class PostgresServer {
  readonly url: string
  readonly #stack: AsyncDisposableStack
  readonly #folder: string
  readonly #port: number
  readonly #owner: Owner
  #child: ChildProcess | undefined

  private constructor(stack: AsyncDisposableStack, folder: string, port: number, owner: Owner) {
    this.#stack = stack
    this.#folder = folder
    this.#port = port
    this.#owner = owner
    this.url = `postgresql://postgres@127.0.0.1:${port}/postgres`
  }

  static async start(scope: Scope): Promise<PostgresServer> {
    const server = await PostgresServer.#prepare(scope)
    await server.#run('initdb', [
      '-D',
      server.#data,
      '-U',
      'postgres',
      '-A',
      'trust',
      '-E',
      'UTF8',
      '--no-sync',
    ])
    await server.#boot()
    return server
  }

  /** A standby that follows whatever `primaryUrl` leads to, asynchronously. */
  static async startStandby(scope: Scope, primaryUrl: string): Promise<PostgresServer> {
    const server = await PostgresServer.#prepare(scope)
    await server.#run('pg_basebackup', [
      '-D',
      server.#data,
      '-R',
      '-X',
      'stream',
      '-c',
      'fast',
      '-d',
      primaryUrl,
    ])
    await server.#boot()
    return server
  }

  static async #prepare(scope: Scope): Promise<PostgresServer> {
    const stack = new AsyncDisposableStack()
    scope.teardown(() => stack.disposeAsync())
    const owner = await findOwner()
    const folder = await makeFolder(stack, owner)
    const [port = 0] = await freePorts(1)
    return new PostgresServer(stack, folder, port, owner)
  }

  /** A database with the broker's schema. */
  async createDatabase(name: string): Promise<string> {
    await query(this.url, `create database ${name}`)
    const url = new URL(this.url)
    url.pathname = `/${name}`
    const secret = new Secret(url.href)
    const database = openPostgres(secret, secret, pino({ level: 'silent' }))
    await database.withDirect(migrateToLatest)
    await database.close()
    return url.href
  }

  /** As a power cut would end it, but for the disk. */
  async crash(): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGQUIT')
    await ended
  }

  /** Starts it again after a crash: it recovers from its log. */
  async restart(): Promise<void> {
    await this.crash()
    await this.#boot()
  }

  /** Everything written on the primary until now is here. Throws when that takes too long. */
  async catchUp(primary: PostgresServer): Promise<void> {
    const [now] = await query<{ at: string }>(
      primary.url,
      'select pg_current_wal_lsn()::text as at',
    )
    const endMs = Date.now() + CATCH_UP_LIMIT_MS
    while (Date.now() < endMs) {
      const [row] = await query<{ ok: boolean | null }>(
        this.url,
        'select pg_last_wal_replay_lsn() >= $1::pg_lsn as ok',
        [now?.at],
      )
      if (row?.ok === true) return
      await delay(50)
    }
    throw new Error('the standby does not follow')
  }

  async promote(): Promise<void> {
    await query(this.url, 'select pg_promote()')
  }

  get #data(): string {
    return join(this.#folder, 'data')
  }

  async #run(binary: string, args: string[]): Promise<void> {
    await run(join(binaries(), binary), args, { ...this.#owner, cwd: this.#folder })
  }

  async #boot(): Promise<void> {
    const options = SETTINGS.flatMap((setting) => ['-c', setting])
    const args = ['-D', this.#data, '-p', String(this.#port), ...options]
    const start = {
      stack: this.#stack,
      signal: undefined,
      folder: this.#folder,
      owner: this.#owner,
    }
    this.#child = await startServer(join(binaries(), 'postgres'), args, start)
    await untilReady(this.#child, () => probePostgres(this.url), start)
  }
}

/** Where all of them are: on the PATH there may be links to some. */
function binaries(): string {
  return dirname(realpathSync(join(findPostgresFolder(), 'postgres')))
}
