import { type ChildProcess, execFile } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { pino } from 'pino'
import { migrateToLatest } from '../../src/db/migrate.ts'
import { openPostgres } from '../../src/db/postgres.ts'
import { Secret } from '../../src/vault/secret.ts'
import { query } from '../support/database.ts'
import { freePorts } from '../support/ports.ts'
import {
  findOwner,
  findPostgresBinaries,
  makeFolder,
  type Owner,
  startServer,
  untilReady,
} from '../support/services-local.ts'
import { probePostgres } from '../support/services-probe.ts'
import type { TeardownScope } from '../support/teardown-scope.ts'

const run = promisify(execFile)

const SETTINGS = [
  'listen_addresses=127.0.0.1',
  'unix_socket_directories=',
  'max_connections=150',
  'wal_level=replica',
  'hot_standby=on',
  // The files survive a crash of the server in the cache of the operating system. A power cut is
  // not tested.
  'fsync=off',
]
const CATCH_UP_LIMIT_MS = 20_000

/**
 * A PostgreSQL server of the harness, started from local binaries. It can crash, and its standby
 * can replace it.
 */
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

  static async start(scope: TeardownScope): Promise<PostgresServer> {
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

  /** Creates an asynchronous standby of the server at `primaryUrl`. */
  static async startStandby(scope: TeardownScope, primaryUrl: string): Promise<PostgresServer> {
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

  static async #prepare(scope: TeardownScope): Promise<PostgresServer> {
    const stack = new AsyncDisposableStack()
    scope.teardown(() => stack.disposeAsync())
    const owner = await findOwner()
    const folder = await makeFolder(stack, owner)
    const [port = 0] = await freePorts(1)
    return new PostgresServer(stack, folder, port, owner)
  }

  /** Creates a database with the broker's schema. */
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

  /** Ends the server as a power cut would, apart from the disk. */
  async crash(): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGQUIT')
    await ended
  }

  /** Ends the server in good order: its standby receives everything first. */
  async shutDown(): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGINT')
    await ended
  }

  /** Removes the files of a server that has ended. */
  async remove(): Promise<void> {
    await this.#stack.disposeAsync()
  }

  /** Starts the server again after a crash. It recovers from its log. */
  async restart(): Promise<void> {
    await this.crash()
    await this.#boot()
  }

  /** Waits until everything written on the primary has arrived here. Throws after the limit. */
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
    await run(join(findPostgresBinaries(), binary), args, { ...this.#owner, cwd: this.#folder })
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
    this.#child = await startServer(join(findPostgresBinaries(), 'postgres'), args, start)
    await untilReady(this.#child, () => probePostgres(this.url), start)
  }
}
