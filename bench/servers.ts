import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePorts } from '../test/support/ports.ts'
import type { Scope } from '../test/support/scope.ts'
import type { World } from './world.ts'

const START_LIMIT_MS = 60_000
const LOOK_MS = 5

/** A process that answers HTTP on loopback. */
export interface Server {
  origin: string
  process: ChildProcess
  /** From the start of the process to its first answer. */
  readyAfterMs: number
}

/** A broker as the image starts it, at production's log level, the log going to a file; everything is on. */
export async function startBroker(
  scope: Scope,
  world: World,
  env: Record<string, string> = {},
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
    ...(await settingsOfImage(world.folder)),
    ...env,
  }
  return await startServer(scope, world.folder, {
    file: 'src/main.ts',
    origin: `http://127.0.0.1:${internal}`,
    path: '/health/ready',
    env: settings,
  })
}

/** What the Dockerfile sets for Node, and a cache of compiled code, as it makes one. */
async function settingsOfImage(folder: string): Promise<Record<string, string>> {
  const [, options] = /NODE_OPTIONS="(.*?)"/.exec(await readFile('Dockerfile', 'utf8')) ?? []
  if (options === undefined) throw new Error('the Dockerfile sets no NODE_OPTIONS')
  const settings = { NODE_OPTIONS: options, NODE_COMPILE_CACHE: join(folder, 'compile-cache') }
  if (!existsSync(settings.NODE_COMPILE_CACHE)) {
    execFileSync(process.execPath, ['src/main.ts', '--help'], { env: settings })
  }
  return settings
}

/** One of `sides/`: what the broker is compared with, by the same Node with the same options. */
export async function startSide(
  scope: Scope,
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
  scope: Scope,
  folder: string,
  order: { file: string; origin: string; path: string; env: Record<string, string> },
): Promise<Server> {
  const { file, origin, path, env } = order
  const logFile = join(folder, `${new URL(origin).port}.log`)
  const log = await open(logFile, 'a')
  const beganMs = performance.now()
  const child = spawn(process.execPath, [file], {
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

/** Resolves when it has ended. */
async function stopServer(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
}
