import { KEY } from '../engine.ts'
import type { Move } from './actor.ts'
import { FaultBudget } from './faults.ts'
import { journaledTokens, parkedPairs, redisFiles } from './holdings.ts'
import type { AccountRow, Lane } from './lane.ts'
import type { RedisData } from './model-stores.ts'
import { ProviderModel } from './provider-model.ts'
import { Replica, SETTLE_MS } from './replica.ts'
import { SendMonitor } from './send-monitor.ts'
import { forgottenSends, readTables, type Standby, writeTables } from './standby.ts'
import { storeConsent } from './store-consent.ts'

export interface Slot {
  name: string
  starts: number
  disk: Map<string, string>
  replica: Replica | undefined
}

/**
 * The world of a schedule: three replicas, their disks, Redis, PostgreSQL, the provider and a
 * person.
 */
export class World {
  readonly lane: Lane
  readonly monitor: SendMonitor
  readonly provider: ProviderModel
  readonly slots: Slot[]
  readonly redisData: RedisData = { answers: new Map(), open: new Set() }
  readonly budget: FaultBudget
  readonly trace: string[] = []
  /** Refresh tokens that were in the row, in this history of the database. */
  committed = new Set<string>()
  /** Pairs whose last copy a fault has destroyed. */
  readonly destroyed = new Set<string>()
  #row: AccountRow | undefined
  #standby: Standby | undefined

  constructor(lane: Lane, mask: number) {
    this.lane = lane
    this.budget = new FaultBudget(mask)
    this.monitor = new SendMonitor(SETTLE_MS, () => lane.time.nowMs)
    this.provider = new ProviderModel(KEY.accountId, lane.time, this.monitor)
    this.slots = ['A', 'B', 'C'].map((name) => ({
      name,
      starts: 0,
      disk: new Map(),
      replica: undefined,
    }))
  }

  async begin(): Promise<void> {
    const { refreshToken, accessToken } = this.provider.mint()
    await this.lane.reset(refreshToken, accessToken)
    await this.#look()
    for (const slot of this.slots) this.start(slot)
  }

  get row(): AccountRow | undefined {
    return this.#row
  }

  /** The refresh token in the row. */
  get current(): string | undefined {
    const { fingerprints } = this.lane
    return this.provider.tokens().find((token) => fingerprints.of(token) === this.#row?.fingerprint)
  }

  async make(move: Move): Promise<void> {
    this.trace.push(move.name)
    this.budget.spend(move.fault)
    await move.make()
    await this.lane.quiet()
  }

  /** Moves that continue the running work of replicas and provider. */
  goingOn(): Move[] {
    const live = this.slots.flatMap(({ replica }) => replica?.actor.moves() ?? [])
    return [...live, ...this.provider.moves()]
  }

  /** The responses on the disks and in Redis. */
  journalFiles(): [string, string][] {
    return redisFiles(this.redisData).concat(...this.slots.map(({ disk }) => [...disk]))
  }

  start(slot: Slot): void {
    slot.starts += 1
    slot.replica = new Replica({
      lane: this.lane,
      name: `${slot.name}${slot.starts}`,
      receive: this.provider.receive,
      watch: {
        beforeCommit: () => this.#save(),
        afterChange: (text, rows) => this.#onChange(text, rows),
      },
      disk: slot.disk,
      redisData: this.redisData,
    })
  }

  /** Kills a replica. With `isDiskGone` its disk is lost too. */
  kill(slot: Slot, isDiskGone = false): void {
    slot.replica?.actor.die()
    slot.replica = undefined
    if (!isDiskGone) return
    const { disk } = slot
    slot.disk = new Map()
    this.#forgiveLossOf(disk)
  }

  loseRedis(): void {
    const files = redisFiles(this.redisData)
    this.redisData.answers.clear()
    this.redisData.open.clear()
    this.#forgiveLossOf(files)
  }

  /**
   * Removes a store. A response whose only copy was there is lost, unless it was committed. Only a
   * claim looks for a copy in Redis that is known to be committed. After a failover that forgets
   * the commit it may be too late.
   */
  #forgiveLossOf(files: Iterable<[string, string]>): void {
    const lost = journaledTokens(this.lane.config.keyRing, files)
    for (const token of this.#withoutCopy(lost)) {
      if (!this.committed.has(token)) this.destroyed.add(token)
    }
  }

  /** Returns those of the tokens that are neither on a disk nor open in Redis. */
  #withoutCopy(tokens: ReadonlySet<string>): string[] {
    const { open } = this.redisData
    const onDisk = this.slots.flatMap(({ disk }) => [...disk])
    const inRedis = redisFiles(this.redisData).filter(([name]) => open.has(name))
    const left = journaledTokens(this.lane.config.keyRing, [...onDisk, ...inRedis])
    return [...tokens].filter((token) => !left.has(token))
  }

  consent({ context }: Replica, revokesOlder: boolean): void {
    if (revokesOlder) this.provider.revokeAll()
    storeConsent(context, this.provider.mint().body)
  }

  async #save(): Promise<void> {
    if (!this.budget.has('failover')) return
    this.#standby = {
      ...(await readTables(this.lane.control)),
      committed: new Set(this.committed),
      sends: this.monitor.sends.length,
      atMove: this.trace.length,
    }
  }

  /** Set once a commit can be forgotten. */
  get standby(): Standby | undefined {
    return this.#standby
  }

  async failOver(standby: Standby): Promise<void> {
    for (const { replica } of this.slots) replica?.onFailover()
    await this.lane.quiet()
    const forgotten = forgottenSends(standby, await readTables(this.lane.control))
    const parked = new Set((await parkedPairs(this.lane)).map(({ token }) => token))
    await writeTables(this.lane.control, standby)
    const stillParked = new Set((await parkedPairs(this.lane)).map(({ token }) => token))
    // Disks and Redis were lost before, and now the row or the ledger too.
    for (const token of this.#withoutCopy(new Set([...this.committed, ...parked]))) {
      if (!standby.committed.has(token) && !stillParked.has(token)) this.destroyed.add(token)
    }
    this.committed = standby.committed
    // Sends that the database has forgotten are sent again. No broker can prevent that.
    const written = this.monitor.sends.slice(standby.sends)
    this.monitor.forgive(written)
    const { fingerprints } = this.lane
    for (const token of this.provider.tokens()) {
      const recorded = forgotten.get(fingerprints.of(token)) ?? 0
      const unwritten = recorded - written.filter((each) => each === token).length
      this.monitor.expectForgotten(token, unwritten)
    }
    this.#standby = undefined
    this.#row = undefined
    await this.#look()
  }

  async #onChange(text: string, rows: Record<string, unknown>[]): Promise<void> {
    const before = this.#row
    await this.#look()
    if (text.includes('insert into amo_refresh_attempts')) this.#checkClaims(rows)
    if (this.#row?.generation === before?.generation) return
    for (const { replica } of this.slots) replica?.onChange()
  }

  async #look(): Promise<void> {
    const before = this.#row && this.current
    this.#row = await this.lane.row()
    const after = this.current
    if (after === undefined) return
    this.#checkStatus(after)
    if (after === before) return
    this.committed.add(after)
    this.monitor.onCommitted(after)
    if (before !== undefined) this.#checkOrder(before, after)
  }

  /**
   * Checks I4: no account is `reauth_required` while the pair in its row is alive, unless the
   * provider has denied that it is.
   */
  #checkStatus(current: string): void {
    if (this.#row?.status !== 'reauth_required' || this.monitor.denied.has(current)) return
    if (this.provider.isAlive(current)) {
      this.monitor.violations.push(`I4: condemned with ${current}, which lives`)
    }
  }

  /**
   * Checks I3: no older pair replaces a newer one that is alive. If the provider has denied that
   * the newer pair is alive, that pair must be parked.
   */
  #checkOrder(before: string, after: string): void {
    if (!this.provider.isAlive(before) || this.monitor.denied.has(before)) return
    const orderOf = (token: string) => this.provider.find(token)?.order ?? -1
    if (orderOf(after) < orderOf(before)) {
      this.monitor.violations.push(`I3: ${after} was put over ${before}, which is newer and lives`)
    }
  }

  /** Checks R1: a claim has the generation of the row at the moment of the grant. */
  #checkClaims(rows: Record<string, unknown>[]): void {
    for (const { generation } of rows) {
      if (generation === undefined || generation === this.#row?.generation) continue
      this.monitor.violations.push(
        `claim: granted for generation ${generation}, but the row is at ${this.#row?.generation}`,
      )
    }
  }
}
