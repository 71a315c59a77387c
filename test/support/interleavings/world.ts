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

/** A bit more than a lease; a lease and the settle time; the whole life of an access token. */
const JUMPS_MS = { 'a lease': 50_000, 'a lease and the settle time': 120_000, 'a life': 700_000 }
/** A failover forgets what was committed so many moves ago, at the most. */
const STANDBY_LAG = 10

interface Slot {
  name: string
  starts: number
  disk: Map<string, string>
  replica: Replica | undefined
}

interface Saved {
  tokens: string
  attempts: string
  committed: Set<string>
  sends: number
  atMove: number
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
  #saved: Saved | undefined

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
    for (const slot of this.slots) this.#start(slot)
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

  moves(): Move[] {
    const all = [
      ...this.goingOn(),
      ...this.slots.flatMap((slot) => this.#slotMoves(slot)),
      ...this.#worldMoves(),
    ]
    return all.filter(({ fault }) => this.budget.has(fault))
  }

  /** The scheduled work of a replica; `isHopeful`: only what may find something to do. */
  chores({ actor }: Replica, isHopeful = false): Move[] {
    const row = this.#row
    const isDue = (row?.nextAttemptAtMs ?? Number.POSITIVE_INFINITY) <= this.lane.clock.nowMs
    const hopeful: Record<string, boolean> = {
      due: isDue && row?.status === 'active' && !row.isClaimed,
      recheck: isDue && row?.status === 'reauth_required' && !row.isClaimed,
    }
    return [...actor.chores]
      .filter(([name, { isRunning }]) => !isRunning && (!isHopeful || (hopeful[name] ?? true)))
      .map(([name, chore]) => ({
        name: `${actor.name} ${name}`,
        weight: name !== 'sweep' ? 6 : row?.isClaimed ? 3 : 1,
        make: () => chore.runNow(),
      }))
      .map((move) => ({ ...move, make: () => actor.run(move.make) }))
  }

  /** What lies on the disks and in Redis. */
  keptFiles(): [string, string][] {
    return redisFiles(this.redisData).concat(...this.slots.map(({ disk }) => [...disk]))
  }

  restart(slot: Slot): Move {
    return { name: `${slot.name} restarts`, weight: 4, make: () => this.#start(slot) }
  }

  #slotMoves(slot: Slot): Move[] {
    const { replica } = slot
    if (replica === undefined) return [this.restart(slot)]
    const read: Move = {
      name: `${replica.actor.name} is asked for the token`,
      weight: 1,
      make: () => replica.read(this.#row?.generation ?? 0),
    }
    return [
      ...this.chores(replica, true),
      ...(replica.isReading ? [] : [read]),
      {
        name: `${replica.actor.name} crashes`,
        weight: 1,
        fault: 'crash',
        make: () => this.#kill(slot),
      },
      {
        name: `${replica.actor.name} crashes, its disk is gone`,
        weight: 1,
        fault: 'disk_gone',
        make: () => {
          this.#kill(slot)
          const { disk } = slot
          slot.disk = new Map()
          this.#forgiveLossOf(disk)
        },
      },
      ...[false, true].map(
        (revokes): Move => ({
          name: `a person consents again at ${replica.actor.name}${revokes ? ', older grants die' : ''}`,
          weight: 1,
          fault: 'consent',
          make: () => this.#consent(replica, revokes),
        }),
      ),
    ]
  }

  #worldMoves(): Move[] {
    const isIdle = this.goingOn().length === 0
    const jumps = Object.entries(JUMPS_MS).map(
      ([name, ms]): Move => ({
        name: `${name} passes`,
        weight: isIdle ? 8 : 2,
        fault: 'time',
        make: () => this.lane.clock.pass(ms),
      }),
    )
    const redis: Move = {
      name: 'Redis loses its data',
      weight: 1,
      fault: 'redis_loses_data',
      make: () => {
        const files = redisFiles(this.redisData)
        this.redisData.answers.clear()
        this.redisData.open.clear()
        this.#forgiveLossOf(files)
      },
    }
    const saved = this.#saved
    const isFresh = saved !== undefined && this.trace.length - saved.atMove <= STANDBY_LAG
    if (!isFresh) return [...jumps, redis]
    const failover: Move = {
      name: 'failover: the last commits are forgotten',
      weight: 3,
      fault: 'failover',
      make: () => this.#failOver(saved),
    }
    return [...jumps, redis, failover]
  }

  #start(slot: Slot): void {
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

  #kill(slot: Slot): void {
    slot.replica?.actor.die()
    slot.replica = undefined
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

  #consent({ actor, engine }: Replica, revokesOlder: boolean): void {
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
    const { rows } = await this.lane.control.query(
      `select (select json_agg(t)::text from amo_tokens t) as tokens,
         (select json_agg(a)::text from amo_refresh_attempts a) as attempts`,
    )
    this.#saved = {
      tokens: rows[0].tokens ?? '[]',
      attempts: rows[0].attempts ?? '[]',
      committed: new Set(this.committed),
      sends: this.judge.sends.length,
      atMove: this.trace.length,
    }
  }

  async #failOver(saved: Saved): Promise<void> {
    for (const { replica } of this.slots) replica?.onFailover()
    await this.lane.quiet()
    const { control } = this.lane
    await control.query('delete from amo_refresh_attempts')
    await control.query('delete from amo_tokens')
    await control.query(
      'insert into amo_tokens select * from json_populate_recordset(null::amo_tokens, $1)',
      [saved.tokens],
    )
    await control.query(
      `insert into amo_refresh_attempts overriding system value
       select * from json_populate_recordset(null::amo_refresh_attempts, $1)`,
      [saved.attempts],
    )
    this.committed = saved.committed
    // Sends that nobody remembers are sent again, and no broker can help it.
    this.judge.forgive(this.judge.sends.slice(saved.sends))
    this.#saved = undefined
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

  /** Looks at the row, and whether an older pair has taken the place of a newer one that lives (I3). */
  async #look(): Promise<void> {
    const before = this.#row && this.current
    this.#row = await this.lane.row()
    const after = this.current
    if (after === undefined || after === before) return
    this.committed.add(after)
    if (before === undefined || !this.provider.isAlive(before)) return
    // Who was told that it is dead may have put another in its place; it must be parked then.
    if (this.judge.denied.has(before)) return
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
