import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { until } from './broker.ts'
import { freePorts } from './ports.ts'
import type { TeardownScope } from './teardown-scope.ts'

/** @returns the command that starts PgBouncer, or undefined when it is not installed */
export function findPgBouncer(): string | undefined {
  const names = ['pgbouncer', '/usr/sbin/pgbouncer']
  return names.find((name) => spawnSync(name, ['--version']).status === 0)
}

/** Starts PgBouncer in front of a database and returns the URL that leads through it. */
export async function startPgBouncer(
  t: TeardownScope,
  binary: string,
  target: string,
  mode: 'transaction' | 'session',
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'amo-pgbouncer-'))
  const [port = 0] = await freePorts(1)
  const url = new URL(target)
  const name = url.pathname.slice(1)
  const at = {
    host: url.searchParams.get('host') ?? url.hostname,
    port: url.port || '5432',
    dbname: name,
    user: decodeURIComponent(url.username) || 'postgres',
    ...(url.password ? { password: decodeURIComponent(url.password) } : {}),
  }
  const server = Object.entries(at).map(([key, value]) => `${key}=${value}`)
  const settings = [
    '[databases]',
    `${name} = ${server.join(' ')}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = any',
    `pool_mode = ${mode}`,
    'ignore_startup_parameters = extra_float_digits',
  ]
  const file = join(folder, 'pgbouncer.ini')
  await writeFile(file, settings.join('\n'))
  // PgBouncer refuses to run as root.
  const isRoot = process.getuid?.() === 0
  await Promise.all([chmod(folder, 0o755), chmod(file, 0o644)])
  const child = spawn(binary, [...(isRoot ? ['-u', 'nobody'] : []), file], { stdio: 'ignore' })
  t.teardown(async () => {
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
    await rm(folder, { recursive: true, force: true })
  })
  const through = `postgres://${at.user}@127.0.0.1:${port}/${name}`
  await until(async () => {
    const client = new pg.Client({ connectionString: through })
    client.on('error', () => {})
    const isUp = await client.connect().then(
      () => true,
      () => false,
    )
    await client.end().catch(() => {})
    return isUp
  })
  return through
}
