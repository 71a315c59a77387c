import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { freePorts } from '../support/ports.ts'
import { probeRedis, untilAnswers } from '../support/services-probe.ts'
import type { TeardownScope } from '../support/teardown-scope.ts'

const BINARIES = ['redis-server', 'valkey-server']

/** A Redis server of the harness, which may be emptied and restarted, unlike a shared one. */
export class RedisServer {
  readonly url: string
  readonly #args: string[]
  #child: ChildProcess | undefined

  private constructor(url: string, args: string[]) {
    this.url = url
    this.#args = args
  }

  static async start(scope: TeardownScope): Promise<RedisServer> {
    const folder = await mkdtemp(join(tmpdir(), 'amo-redis-'))
    const [port = 0] = await freePorts(1)
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder]
    args.push('--save', '', '--appendonly', 'no')
    const server = new RedisServer(`redis://127.0.0.1:${port}`, args)
    scope.teardown(async () => {
      await server.#stop()
      await rm(folder, { recursive: true, force: true })
    })
    await server.#start()
    return server
  }

  /** Restarts the server without its data, which is on no disk. */
  async restart(): Promise<void> {
    await this.#stop()
    await this.#start()
  }

  async flush(): Promise<void> {
    const redis = new Redis(this.url, { lazyConnect: true, retryStrategy: () => null })
    redis.on('error', () => {})
    await redis.connect()
    await redis.flushall()
    redis.disconnect()
  }

  async #start(): Promise<void> {
    this.#child = await spawnFirst(this.#args)
    await untilAnswers(() => probeRedis(this.url), {
      signal: undefined,
      isAlive: () => this.#child?.exitCode === null,
    })
  }

  async #stop(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
}

async function spawnFirst(args: string[]): Promise<ChildProcess> {
  for (const binary of BINARIES) {
    const child = spawn(binary, args, { stdio: 'ignore', detached: true })
    const isStarted = await once(child, 'spawn').then(
      () => true,
      () => false,
    )
    if (isStarted) return child
  }
  throw new Error(`no ${BINARIES.join(' or ')} on the PATH`)
}
