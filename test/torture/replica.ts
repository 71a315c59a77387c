import type { ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { TcpProxy } from '../support/proxy.ts'
import { becomesReady } from './becomes-ready.ts'
import type { Journal } from './journal.ts'
import { beginLife, type Life } from './life.ts'
import type { JournalLine, Order } from './orders.ts'
import type { SmallDisk } from './small-disk.ts'
import { type BrokerProgram, onJournalLine, spawnBroker } from './spawn-broker.ts'

export interface ReplicaSetup extends BrokerProgram {
  name: string
  internalPort: number
  publicPort: number
  /** Holds all files of this run. */
  folder: string
  /** Its data directories are on it. Undefined: they are in `folder`. */
  disk: SmallDisk | undefined
  env: Record<string, string>
  journal: Journal
  proxies: { postgres: TcpProxy; listen: TcpProxy; redis: TcpProxy }
}

export interface StartOptions {
  /** Starts with an empty data directory, as after the loss of a machine. */
  freshDisk?: boolean
  skewMs?: number
}

const READY_LIMIT_MS = 60_000
const CONTINUE_AGAIN_MS = [50, 200, 1_000, 3_000, 10_000, 30_000]
/** Longer than any response of the sandbox takes in a run. */
const DRAIN_LIMIT_MS = 90_000

/**
 * A broker process that the harness controls. After a restart it is the same replica with another
 * life.
 */
export class Replica {
  readonly name: string
  readonly url: string
  readonly publicUrl: string
  readonly proxies: ReplicaSetup['proxies']
  readonly disk: SmallDisk | undefined
  readonly lives: Life[] = []
  /** Ends of processes that the harness did not cause. */
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
    this.disk = setup.disk
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

  /** The process is ready and not stopped, as far as the harness knows. */
  get isUp(): boolean {
    return this.isRunning && this.#isReady && !this.isStopped
  }

  /** Returns whether it was stopped, down or starting at any time since then. */
  wasDisturbedSince(sinceMs: number): boolean {
    const { life } = this
    if (life === undefined || !this.isUp || life.beganAtMs > sinceMs) return true
    return life.stops.some(({ toMs }) => toMs === undefined || toMs > sinceMs)
  }

  /** Starts the process unless it already runs. Resolves when it is ready or has ended. */
  async start({ freshDisk = false, skewMs = 0 }: StartOptions = {}): Promise<void> {
    if (freshDisk && !this.isRunning) await this.#loseDisk()
    const { folder, env, name, program } = this.#setup
    this.#dataDir ??= await mkdtemp(join(this.disk?.folder ?? folder, `${name}-`))
    if (this.isRunning) return
    const life = beginLife(this.lives.length + 1, this.#dataDir)
    this.lives.push(life)
    this.#isReady = false
    const child = spawnBroker(program, {
      ...env,
      INTERNAL_PORT: new URL(this.url).port,
      PUBLIC_PORT: new URL(this.publicUrl).port,
      DATA_DIR: life.dataDir,
      TORTURE_SKEW_MS: String(skewMs),
      // Compiling takes a third of a start, and a run has hundreds of starts.
      NODE_COMPILE_CACHE: join(folder, 'compiled'),
    })
    this.#child = child
    this.#record(child, life)
    this.#send()
    await this.#untilReady(child)
  }

  /** Resolves when the process has ended for any reason. */
  async ended(): Promise<void> {
    const child = this.#child
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      await once(child, 'exit')
    }
  }

  /** Starts the process again after a superfluous kill. */
  async startAgain(): Promise<void> {
    await this.ended()
    await this.start()
  }

  async kill(): Promise<void> {
    this.#allowEnd()
    this.#child?.kill('SIGKILL')
    await this.ended()
  }

  /** Ends the process with SIGTERM. Throws when it does not end, or ends with an error. */
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
    // A process that stops itself reports it first, so the first signal may come too early.
    for (const ms of CONTINUE_AGAIN_MS) setTimeout(goOn, ms).unref()
  }

  /** Gives the process an order that it carries out at a step. A later start receives it too. */
  order(given: Omit<Order, 'id'>): Order {
    const order = { id: randomUUID(), ...given }
    this.#orders.add(order)
    this.#send()
    return order
  }

  /** Withdraws an order. Returns false when it was already carried out. */
  withdraw(order: Order): boolean {
    if (!this.#orders.delete(order)) return false
    this.#send()
    return true
  }

  #send(): void {
    // A process that has just ended does not receive them. The next one gets them at its start.
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
    onJournalLine(child, (line) => {
      this.#carriedOut(line, life)
      journal.add({ ...line, replica: name, start: life.start })
    })
    child.on('error', () => {})
    child.once('exit', (code, signal) => {
      life.endedAtMs = Date.now()
      life.end = signal ?? `exit ${code}`
      for (const stop of life.stops) stop.toMs ??= life.endedAtMs
      if (this.#child === child) this.#child = undefined
      // The last line of the journal may arrive after the exit, so it is checked a little later.
      setTimeout(() => this.#checkExit(life), 1_000)
    })
  }

  #carriedOut({ order, atMs }: JournalLine, life: Life): void {
    if (order === undefined) return
    const given = [...this.#orders].find(({ id }) => id === order.id)
    if (given !== undefined) this.withdraw(given)
    if (order.signal === 'SIGKILL') {
      life.mayEnd = true
      // The order was withdrawn while it was carried out, so nobody else starts the process again.
      if (given === undefined) this.startAgain()
      return
    }
    life.stops.push({ fromMs: atMs, toMs: undefined })
    // The order was withdrawn while it was carried out, so nobody else continues the process.
    if (given === undefined) this.thaw()
  }

  #checkExit(life: Life): void {
    if (life.end === 'SIGKILL' || life.mayEnd) return
    this.surprises.push(`${this.name} ended by itself: ${life.end}`)
  }

  async #untilReady(child: ChildProcess): Promise<void> {
    const end = await becomesReady(child, this.url, READY_LIMIT_MS)
    if (end === 'ready') this.#isReady = true
    if (end !== 'late') return
    this.surprises.push(`${this.name} was not ready within ${READY_LIMIT_MS} ms of its start`)
  }
}
