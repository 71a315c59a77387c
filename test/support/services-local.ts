import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { existsSync, globSync, realpathSync } from 'node:fs'
import { chown, mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { freePorts } from './ports.ts'
import { probePostgres, probeRedis, untilAnswers } from './services-probe.ts'

const run = promisify(execFile)

/** initdb takes 1 to 2 s; a cold, busy disk may need many times that. */
const initTimeoutMs = 60_000

/** Folders of servers that are not on the PATH: Debian, Homebrew on ARM, Homebrew on Intel. */
const postgresFolders = [
  '/usr/lib/postgresql/*/bin',
  '/opt/homebrew/opt/postgresql*/bin',
  '/usr/local/opt/postgresql*/bin',
]

/** `stack` stops the servers that were started. `signal` cancels a start. */
export type Start = { stack: AsyncDisposableStack; signal: AbortSignal | undefined }

/**
 * Starts a PostgreSQL of its own from local binaries: temporary folder, free port, no fsync.
 *
 * @returns the URL of its database `postgres`
 * @throws {Error} names what is missing, or contains the last lines of the server's log
 */
export async function startPostgres(start: Start): Promise<string> {
  const bin = findPostgresFolder()
  const owner = await findOwner()
  const folder = await makeFolder(start.stack, owner)
  const data = join(folder, 'data')
  const init = [
    '-D',
    data,
    '-U',
    'postgres',
    '-A',
    'trust',
    '-E',
    'UTF8',
    '--locale=C',
    '--no-sync',
  ]
  await run(join(bin, 'initdb'), init, {
    ...owner,
    cwd: folder,
    timeout: initTimeoutMs,
    ...(start.signal && { signal: start.signal }),
  })
  const [port = 0] = await freePorts(1)
  const settings = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off']
  // No socket file: the path of a temporary folder may exceed the 107 bytes that a socket allows.
  settings.push('listen_addresses=127.0.0.1', 'unix_socket_directories=', 'max_connections=200')
  const args = ['-D', data, '-p', String(port), ...settings.flatMap((setting) => ['-c', setting])]
  const server = await startServer(join(bin, 'postgres'), args, { ...start, folder, owner })
  const url = `postgresql://postgres@127.0.0.1:${port}/postgres`
  await untilReady(server, () => probePostgres(url), { folder, signal: start.signal })
  return url
}

/** Starts a Redis or Valkey from the PATH: temporary folder, free port, no persistence. */
export async function startRedis(start: Start): Promise<string> {
  const binary = findOnPath('redis-server') ?? findOnPath('valkey-server')
  if (!binary) throw new Error('no redis-server on the PATH')
  const folder = await makeFolder(start.stack, undefined)
  const [port = 0] = await freePorts(1)
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder]
  args.push('--save', '', '--appendonly', 'no')
  const server = await startServer(binary, args, { ...start, folder, owner: undefined })
  const url = `redis://127.0.0.1:${port}`
  await untilReady(server, () => probeRedis(url), { folder, signal: start.signal })
  return url
}

export type Owner = { uid: number; gid: number } | undefined

function findPostgresFolder(): string {
  const fromPath = findOnPath('postgres')
  if (fromPath && findOnPath('initdb')) return dirname(fromPath)
  const folders = globSync(postgresFolders).filter((folder) => existsSync(join(folder, 'initdb')))
  const newest = folders.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1)
  if (!newest) throw new Error(`no postgres and initdb on the PATH or in ${postgresFolders[0]}`)
  return newest
}

/** Finds the directory with all binaries, because PATH may contain links to some of them only. */
export function findPostgresBinaries(): string {
  return dirname(realpathSync(join(findPostgresFolder(), 'postgres')))
}

function findOnPath(name: string): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean)
  return folders.map((folder) => join(folder, name)).find((file) => existsSync(file))
}

/** @returns another user for PostgreSQL, which refuses to run as root; undefined for other users */
export async function findOwner(): Promise<Owner> {
  if (process.getuid?.() !== 0) return undefined
  for (const name of ['postgres', 'nobody']) {
    const ids = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]).catch(
      () => [],
    )
    const [uid, gid] = ids.map(({ stdout }) => Number(stdout))
    if (uid && gid) return { uid, gid }
  }
  throw new Error('PostgreSQL refuses to run as root, and there is no user postgres or nobody')
}

export async function makeFolder(stack: AsyncDisposableStack, owner: Owner): Promise<string> {
  // The other user may not be allowed to read root's TMPDIR. Every user can read /tmp.
  const folder = await mkdtemp(join(owner ? '/tmp' : tmpdir(), 'amo-services-'))
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }))
  if (owner) await chown(folder, owner.uid, owner.gid)
  return folder
}

export async function startServer(
  binary: string,
  args: string[],
  { stack, folder, owner }: Start & { folder: string; owner: Owner },
): Promise<ChildProcess> {
  await using log = await open(join(folder, 'log'), 'w')
  // A process group of its own, so that Ctrl-C ends the tests before the servers.
  const child = spawn(binary, args, {
    ...owner,
    cwd: folder,
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
  })
  await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject))
  stack.defer(() => stopServer(child))
  return child
}

/** Stops a server. SIGINT ends both without waiting for clients; SIGKILL follows if one hangs. */
export async function stopServer(child: ChildProcess): Promise<void> {
  if (!isRunning(child)) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGINT')
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
  await ended
  clearTimeout(timer)
}

export async function untilReady(
  child: ChildProcess,
  probe: () => Promise<unknown>,
  { folder, signal }: { folder: string; signal: AbortSignal | undefined },
): Promise<void> {
  try {
    await untilAnswers(probe, { signal, isAlive: () => isRunning(child) })
  } catch (cause) {
    signal?.throwIfAborted()
    const log = await readFile(join(folder, 'log'), 'utf8').catch(() => '')
    const lastLines = log.trimEnd().split('\n').slice(-3).join(' | ')
    const what = isRunning(child) ? 'did not answer' : 'ended at once'
    throw new Error(`${what}: ${lastLines}`, { cause })
  }
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}
