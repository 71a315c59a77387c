import { storeOnboarded } from '../../../src/onboarding/store.ts'
import { findPair } from '../../../src/provider/token-endpoint.ts'
import { KEY } from '../engine.ts'
import type { Move } from './actor.ts'
import { FaultBudget } from './faults.ts'
import { keptTokens, redisFiles } from './holdings.ts'
import { Judge } from './judge.ts'
import type { AccountRow, Lane } from './lane.ts'
import type { RedisData } from './model-stores.ts'
import { ProviderModel } from './provider-model.ts'
import { Replica, SETTLE_MS } from './replica.ts'
import { readTables, type Standby, writeTables } from './standby.ts'

export interface Slot {
  name: string
  starts: number
  disk: Map<string, string>
  replica: Replica | undefined
}

/** All that a schedule plays with: three replicas, their disks, Redis, PostgreSQL, the provider, and a person. */
export class World {
  readonly lane: Lane
  readonly judge: Judge
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
    this.judge = new Judge(SETTLE_MS, () => lane.clock.nowMs)
    this.provider = new ProviderModel(KEY.accountId, lane.clock, this.judge)
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

  /** The refresh token that the row holds. */
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

  /** What replicas and provider have begun. */
  goingOn(): Move[] {
    const live = this.slots.flatMap(({ replica }) => replica?.actor.moves() ?? [])
    return [...live, ...this.provider.moves()]
  }

  /** What lies on the disks and in Redis. */
  keptFiles(): [string, string][] {
    return redisFiles(this.redisData).concat(...this.slots.map(({ disk }) => [...disk]))
  }

  start(slot: Slot): void {
    slot.starts += 1
    slot.replica = new Replica({
      lane: this.lane,
      name: `${slot.name}${slot.starts}`,
      callOut: this.provider.receive,
      watch: {
        beforeCommit: () => this.#save(),
        afterChange: (text, rows) => this.#onChange(text, rows),
      },
      disk: slot.disk,
      redisData: this.redisData,
    })
  }

  /** Its memory is gone, and its disk as well where `isDiskGone`. */
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
   * A store is gone: what was kept there and nowhere else is lost, unless it was committed. A copy in Redis that is known to
   * be committed is looked for by a claim alone; where a failover has forgotten that commit it may be too late.
   */
  #forgiveLossOf(files: Iterable<[string, string]>): void {
    const { keyRing } = this.lane.config
    const { open } = this.redisData
    const onDisk = this.slots.flatMap(({ disk }) => [...disk])
    const inRedis = redisFiles(this.redisData).filter(([name]) => open.has(name))
    const left = keptTokens(keyRing, [...onDisk, ...inRedis])
    for (const token of keptTokens(keyRing, files)) {
      if (!left.has(token) && !this.committed.has(token)) this.destroyed.add(token)
    }
  }

  consent({ actor, engine }: Replica, revokesOlder: boolean): void {
    if (revokesOlder) this.provider.revokeAll()
    const { body } = this.provider.mint()
    const pair = findPair(body)
    if (pair?.claims === undefined) throw new Error('the model’s own pair cannot be read')
    const account = {
      ...KEY,
      domain: 'a.amocrm.ru',
      apiDomain: 'api.amocrm.ru',
      pair,
      issuedAt: new Date(pair.claims.issuedAtSeconds * 1000),
      sentAtMs: engine.heartbeat.nowMs(),
      isExpected: true,
    }
    const { committer } = engine
    actor.run(() =>
      committer.claims
        .transaction()
        .execute((trx) => storeOnboarded(committer, trx, account))
        .catch(() => {}),
    )
  }

  async #save(): Promise<void> {
    if (!this.budget.has('failover')) return
    this.#standby = {
      ...(await readTables(this.lane.control)),
      committed: new Set(this.committed),
      sends: this.judge.sends.length,
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
    await writeTables(this.lane.control, standby)
    this.committed = standby.committed
    // Sends that nobody remembers are sent again, and no broker can help it.
    this.judge.forgive(this.judge.sends.slice(standby.sends))
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
    if (before !== undefined) this.#checkOrder(before, after)
  }

  /** Nobody is condemned while the pair in the row lives, unless the provider has denied it (I4). */
  #checkStatus(current: string): void {
    if (this.#row?.status !== 'reauth_required' || this.judge.denied.has(current)) return
    if (this.provider.isAlive(current)) {
      this.judge.violations.push(`I4: condemned with ${current}, which lives`)
    }
  }

  /** No older pair takes the place of a newer one that lives (I3), unless the provider has denied that: then it must be parked. */
  #checkOrder(before: string, after: string): void {
    if (!this.provider.isAlive(before) || this.judge.denied.has(before)) return
    const orderOf = (token: string) => this.provider.find(token)?.order ?? -1
    if (orderOf(after) < orderOf(before)) {
      this.judge.violations.push(`I3: ${after} was put over ${before}, which is newer and lives`)
    }
  }

  /** A claim is for the generation that the row has at the moment when it is granted (R1). */
  #checkClaims(rows: Record<string, unknown>[]): void {
    for (const { generation } of rows) {
      if (generation === undefined || generation === this.#row?.generation) continue
      this.judge.violations.push(
        `claim: granted for generation ${generation}, but the row is at ${this.#row?.generation}`,
      )
    }
  }
}
