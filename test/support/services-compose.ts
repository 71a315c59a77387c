import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Start } from './services-local.ts'
import { probePostgres, probeRedis, untilAnswers } from './services-probe.ts'

const run = promisify(execFile)

/** A running daemon responds at once. The first start pulls an image. */
const infoTimeoutMs = 5000
const upTimeoutMs = 240_000

const root = join(import.meta.dirname, '..', '..')

/**
 * The changes to docker-compose.yml for tests: a free port, no password, no volume and no fixed
 * name, so that a demo from the same file is not affected.
 */
const services = {
  postgres: {
    probe: probePostgres,
    port: 5432,
    url: 'postgresql://postgres:postgres@',
    path: '/postgres',
    environment: '{ POSTGRES_USER: postgres, POSTGRES_PASSWORD: postgres, POSTGRES_DB: postgres }',
    command: '["postgres", "-c", "fsync=off", "-c", "max_connections=200"]',
  },
  redis: {
    probe: probeRedis,
    port: 6379,
    url: 'redis://',
    path: '',
    environment: '{}',
    command: '["redis-server", "--save", "", "--appendonly", "no"]',
  },
}

/**
 * Starts one service of docker-compose.yml under a separate project name.
 *
 * @returns its URL on this machine, once it responds
 * @throws {Error} names what is missing, or repeats the message of docker
 */
export async function startComposed(name: keyof typeof services, start: Start): Promise<string> {
  const file = ['docker-compose.yml', 'compose.yaml'].find((each) => existsSync(join(root, each)))
  if (!file) throw new Error('no docker-compose.yml')
  const { port, url, path, probe } = services[name]
  await docker(['info'], infoTimeoutMs, start.signal)
  await docker(['compose', 'version'], infoTimeoutMs, start.signal)

  const folder = await mkdtemp(join(tmpdir(), 'amo-services-'))
  start.stack.defer(() => rm(folder, { recursive: true, force: true }))
  const override = join(folder, 'override.yml')
  await writeFile(override, overrideOf(name))

  const project = ['compose', '-p', `amo-test-${process.pid}-${name}`, '-f', file, '-f', override]
  start.stack.defer(async () => {
    await docker([...project, 'down', '--volumes', '--timeout', '2'], upTimeoutMs)
  })
  const up = ['up', '--detach', '--wait', '--no-deps', name]
  await docker([...project, ...up], upTimeoutMs, start.signal)
  const place = await docker([...project, 'port', name, String(port)], infoTimeoutMs, start.signal)
  const found = `${url}${place.trim()}${path}`
  // Without a healthcheck in docker-compose.yml, --wait ends when the container runs.
  await untilAnswers(() => probe(found), { signal: start.signal })
  return found
}

/** `!override` and `!reset` need Docker Compose 2.24.4 or newer. */
function overrideOf(name: keyof typeof services): string {
  const { port, environment, command } = services[name]
  return `services:
  ${name}:
    container_name: !reset null
    restart: !reset null
    env_file: !reset []
    volumes: !reset []
    ports: !override ["127.0.0.1::${port}"]
    environment: !override ${environment}
    command: !override ${command}
`
}

async function docker(args: string[], timeout: number, signal?: AbortSignal): Promise<string> {
  try {
    const { stdout } = await run('docker', args, { cwd: root, timeout, ...(signal && { signal }) })
    return stdout
  } catch (error) {
    const words = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : ''
    const reason = words.split('\n').at(-1) || 'it is not installed, or does not answer'
    throw new Error(`docker ${args[0]}: ${reason}`, { cause: error })
  }
}
