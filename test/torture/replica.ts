import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { TcpProxy } from '../support/proxy.ts'
import type { Journal } from './journal.ts'
import { JOURNAL_FD, type JournalLine, type Order, readLine } from './orders.ts'

/** One process of a replica, from its start to its end. */
export interface Life {
  start: number
  dataDir: string
  beganAtMs: number
  endedAtMs: number | undefined
  /** The harness has seen to its end. */
  mayEnd: boolean
  /** How it ended: a signal, or its exit code. */
  end: string | undefined
  /** Its folder, and what was kept there, is gone for good. */
  isDiskGone: boolean
  /** When it was stopped by SIGSTOP; the last one may be open. */
  stops: { fromMs: number; toMs: number | undefined }[]
}

export interface ReplicaSetup {
  name: string
  internalPort: number
  publicPort: number
  /** Where everything of this run lies. */
  folder: string
  env: Record<string, string>
  journal: Journal
  proxies: { postgres: TcpProxy; listen: TcpProxy; redis: TcpProxy }
}

export interface StartOptions {
  /** As after a lost machine: nothing of what was kept is there. */
  freshDisk?: boolean
  skewMs?: number
}

const READY_LIMIT_MS = 60_000
const CONTINUE_AGAIN_MS = [50, 200, 1_000, 3_000]
/** Longer than any answer of the sandbox in a run takes to come. */
const DRAIN_LIMIT_MS = 90_000

/** A broker process under the harness's hand; started again, it is the same replica with another life. */
export class Replica {
  readonly name: string
  readonly url: string
  readonly publicUrl: string
  readonly proxies: ReplicaSetup['proxies']
  readonly lives: Life[] = []
  /** Ends that nobody here has caused. */
  readonly surprises: string[] = []
  readonly #setup: ReplicaSetup
  readonly #orders = new Set<Order>()
  #child: ChildProcess | undefined
  #dataDir: string | undefined
  #isReady = false

  constructor(setup: ReplicaSetup) {
    this.name = setup.name
    this.url = `http://127.0.0.1:${setup.internalPort}`
    this.publicUrl = `http://127.0.0.1:${setup.publicPort}`
    this.proxies = setup.proxies
    this.#setup = setup
  }

  get life(): Life | undefined {
    return this.lives.at(-1)
  }

  get isRunning(): boolean {
    return this.#child !== undefined
  }

  get isStopped(): boolean {
    const last = this.life?.stops.at(-1)
    return this.isRunning && last !== undefined && last.toMs === undefined
  }

  /** Ready to be asked, as far as the harness has not meddled with it. */
  get isUp(): boolean {
    return this.isRunning && this.#isReady && !this.isStopped
  }

  /** Whether it was frozen, down or on its way at any time since then. */
  wasDisturbedSince(sinceMs: number): boolean {
    const { life } = this
    if (life === undefined || !this.isUp || life.beganAtMs > sinceMs) return true
    return life.stops.some(({ toMs }) => toMs === undefined || toMs > sinceMs)
  }

  /** Starts it, unless somebody else has meanwhile, and resolves when it is ready, or has ended before. */
  async start({ freshDisk = false, skewMs = 0 }: StartOptions = {}): Promise<void> {
    if (freshDisk && !this.isRunning) await this.#loseDisk()
    const { folder, env, name } = this.#setup
    this.#dataDir ??= await mkdtemp(join(folder, `${name}-`))
    if (this.isRunning) return
    const life: Life = {
      start: this.lives.length + 1,
      dataDir: this.#dataDir,
      beganAtMs: Date.now(),
      endedAtMs: undefined,
      mayEnd: false,
      end: undefined,
      isDiskGone: false,
      stops: [],
    }
    this.lives.push(life)
    this.#isReady = false
    const child = spawn(
      process.execPath,
      ['--import', './test/torture/preload.ts', 'src/main.ts'],
      {
        env: {
          PATH: process.env.PATH,
          ...env,
          INTERNAL_PORT: new URL(this.url).port,
          PUBLIC_PORT: new URL(this.publicUrl).port,
          DATA_DIR: life.dataDir,
          TORTURE_SKEW_MS: String(skewMs),
          // A third of a start is the compiling, and a run has hundreds of starts.
          NODE_COMPILE_CACHE: join(folder, 'compiled'),
        },
        stdio: ['ignore', 'pipe', 'pipe', 'ipc', 'pipe'],
        // Ctrl-C is the harness's to hear, and it ends its replicas itself.
        detached: true,
      },
    )
    this.#child = child
    this.#record(child, life)
    this.#send()
    await this.#untilReady(child)
  }

  /** Resolves when the process is gone, however that comes. */
  async ended(): Promise<void> {
    const child = this.#child
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      await once(child, 'exit')
    }
  }

  /** After a kill that was one too many. */
  async startAgain(): Promise<void> {
    await this.ended()
    await this.start()
  }

  async kill(): Promise<void> {
    this.#allowEnd()
    this.#child?.kill('SIGKILL')
    await this.ended()
  }

  /** Ends it in good order. Throws when it does not end, or ends badly. */
  async terminate(): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    this.#allowEnd()
    this.#isReady = false
    child.kill('SIGTERM')
    const timer = new AbortController()
    const late = delay(DRAIN_LIMIT_MS, 'late' as const, timer).catch(() => undefined)
    const end = await Promise.race([this.ended(), late])
    timer.abort()
    if (end === 'late') {
      await this.kill()
      this.surprises.push(`${this.name} did not end within ${DRAIN_LIMIT_MS} ms of SIGTERM`)
    } else if (child.exitCode !== 0 && child.signalCode !== 'SIGKILL') {
      this.surprises.push(`${this.name} ended with ${child.exitCode} after SIGTERM`)
    }
  }

  #allowEnd(): void {
    if (this.life !== undefined) this.life.mayEnd = true
  }

  freeze(): void {
    if (!this.#child?.kill('SIGSTOP')) return
    this.life?.stops.push({ fromMs: Date.now(), toMs: undefined })
  }

  thaw(): void {
    const { life } = this
    for (const stop of life?.stops ?? []) stop.toMs ??= Date.now()
    const goOn = () => {
      if (this.life === life && !this.isStopped) this.#child?.kill('SIGCONT')
    }
    goOn()
    // A process that stops itself tells so before it does: the first signal may come too early.
    for (const ms of CONTINUE_AGAIN_MS) setTimeout(goOn, ms).unref()
  }

  /** Gives the process an order that it carries out at a step; a start that follows takes it over. */
  order(given: Omit<Order, 'id'>): Order {
    const order = { id: randomUUID(), ...given }
    this.#orders.add(order)
    this.#send()
    return order
  }

  /** False: it was carried out before. */
  withdraw(order: Order): boolean {
    if (!this.#orders.delete(order)) return false
    this.#send()
    return true
  }

  #send(): void {
    // Not delivered to a process that has just ended: the next one gets them at its start.
    this.#child?.send([...this.#orders], () => {})
  }

  async #loseDisk(): Promise<void> {
    const lost = this.#dataDir
    this.#dataDir = undefined
    if (lost === undefined) return
    for (const life of this.lives) if (life.dataDir === lost) life.isDiskGone = true
    await rm(lost, { recursive: true, force: true })
  }

  #record(child: ChildProcess, life: Life): void {
    const { folder, name, journal } = this.#setup
    const log = createWriteStream(join(folder, `${name}.log`), { flags: 'a' })
    child.stdout?.pipe(log, { end: false })
    child.stderr?.pipe(log, { end: false })
    const lines = child.stdio[JOURNAL_FD]
    if (!(lines instanceof Readable)) throw new Error('a replica without a journal')
    createInterface({ input: lines }).on('line', (text) => {
      const line = readLine(text)
      if (line === undefined) return
      this.#carriedOut(line, life)
      journal.add({ ...line, replica: name, start: life.start })
    })
    child.on('error', () => {})
    child.once('exit', (code, signal) => {
      life.endedAtMs = Date.now()
      life.end = signal ?? `exit ${code}`
      for (const stop of life.stops) stop.toMs ??= life.endedAtMs
      if (this.#child === child) this.#child = undefined
      // The journal's last line may come after the exit: what it says is looked at a little later.
      setTimeout(() => this.#judgeEnd(life), 1_000)
    })
  }

  #carriedOut({ order, atMs }: JournalLine, life: Life): void {
    if (order === undefined) return
    const given = [...this.#orders].find(({ id }) => id === order.id)
    if (given !== undefined) this.withdraw(given)
    if (order.signal === 'SIGKILL') {
      life.mayEnd = true
      // It was withdrawn when it was just being carried out: nobody else will start it again.
      if (given === undefined) this.startAgain()
      return
    }
    life.stops.push({ fromMs: atMs, toMs: undefined })
    // It was withdrawn when it was just being carried out: nobody else will let the process go on.
    if (given === undefined) this.thaw()
  }

  #judgeEnd(life: Life): void {
    if (life.end === 'SIGKILL' || life.mayEnd) return
    this.surprises.push(`${this.name} ended by itself: ${life.end}`)
  }

  async #untilReady(child: ChildProcess): Promise<void> {
    const endMs = Date.now() + READY_LIMIT_MS
    while (child.exitCode === null && child.signalCode === null) {
      const ready = await fetch(`${this.url}/health/ready`, {
        signal: AbortSignal.timeout(2_000),
      }).catch(() => undefined)
      if (ready?.ok) {
        this.#isReady = true
        return
      }
      if (Date.now() > endMs) {
        this.surprises.push(`${this.name} was not ready within ${READY_LIMIT_MS} ms of its start`)
        return
      }
      await delay(50)
    }
  }
}
