import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePorts } from '../test/support/ports.ts'
import type { TeardownScope } from '../test/support/teardown-scope.ts'
import type { World } from './world.ts'

const START_LIMIT_MS = 60_000
const LOOK_MS = 5

/** A process that serves HTTP on loopback. */
export interface Server {
  origin: string
  process: ChildProcess
  /** Time from the start of the process to its first successful response. */
  readyAfterMs: number
}

/**
 * Starts a broker with all features on and the options of the image. It logs at the level of
 * production to a file. `checkout` is the folder of the code: another commit, for a comparison.
 */
export async function startBroker(
  scope: TeardownScope,
  world: World,
  env: Record<string, string> = {},
  checkout = '.',
): Promise<Server> {
  const [internal = 0, outer = 0] = await freePorts(2)
  const settings = {
    DATABASE_URL: world.databaseUrl,
    REDIS_URL: world.redisUrl,
    DEPLOYMENT_ID: world.vault.deploymentId,
    ENCRYPTION_KEYS: world.vault.encryptionKeys,
    OPERATOR_KEY: world.operatorKey,
    PACE_PER_SECOND: String(world.pacePerSecond),
    DATA_DIR: await mkdtemp(join(world.folder, 'data-')),
    INTERNAL_PORT: String(internal),
    PUBLIC_PORT: String(outer),
    ...(await settingsOfImage(world.folder, checkout)),
    ...env,
  }
  return await startServer(scope, world.folder, {
    file: 'src/main.ts',
    checkout,
    origin: `http://127.0.0.1:${internal}`,
    path: '/health/ready',
    env: settings,
  })
}

/** Returns the Node options of the Dockerfile, and a cache of compiled code like the image's. */
async function settingsOfImage(folder: string, checkout = '.'): Promise<Record<string, string>> {
  const [, options] = /NODE_OPTIONS="(.*?)"/.exec(await readFile('Dockerfile', 'utf8')) ?? []
  if (options === undefined) throw new Error('the Dockerfile sets no NODE_OPTIONS')
  const settings = {
    NODE_OPTIONS: options,
    NODE_COMPILE_CACHE: join(folder, 'compile-cache', encodeURIComponent(checkout)),
  }
  if (!existsSync(settings.NODE_COMPILE_CACHE)) {
    execFileSync(process.execPath, ['src/main.ts', '--help'], { env: settings, cwd: checkout })
  }
  return settings
}

/** Starts one of `sides/`, which the broker is compared with, under the same Node and options. */
export async function startSide(
  scope: TeardownScope,
  folder: string,
  name: string,
  env: Record<string, string>,
): Promise<Server> {
  const [port = 0] = await freePorts(1)
  return await startServer(scope, folder, {
    file: `bench/sides/${name}.ts`,
    origin: `http://127.0.0.1:${port}`,
    path: '/health/live',
    env: { ...(await settingsOfImage(folder)), ...env, PORT: String(port) },
  })
}

async function startServer(
  scope: TeardownScope,
  folder: string,
  order: {
    file: string
    origin: string
    path: string
    env: Record<string, string>
    checkout?: string
  },
): Promise<Server> {
  const { file, origin, path, env, checkout = '.' } = order
  const logFile = join(folder, `${new URL(origin).port}.log`)
  const log = await open(logFile, 'a')
  const beganMs = performance.now()
  const child = spawn(process.execPath, [file], {
    cwd: checkout,
    env: { PATH: process.env.PATH, NODE_ENV: 'production', ...env },
    stdio: ['ignore', log.fd, log.fd],
  })
  await log.close()
  scope.teardown(() => stopServer(child))
  for (;;) {
    const answer = await fetch(origin + path).catch(() => undefined)
    if (answer?.ok) break
    if (child.exitCode !== null || performance.now() - beganMs > START_LIMIT_MS) {
      throw new Error(`${file} did not start; its log is ${logFile}`)
    }
    await delay(LOOK_MS)
  }
  return { origin, process: child, readyAfterMs: performance.now() - beganMs }
}

/** Resolves when the process has ended. */
async function stopServer(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
}
