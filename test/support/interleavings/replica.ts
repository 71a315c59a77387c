import { Kysely } from 'kysely'
import { pino } from 'pino'
import { Heartbeat } from '../../../src/db/heartbeat.ts'
import type { Tables } from '../../../src/db/tables.ts'
import type { Engine } from '../../../src/refresh/engine.ts'
import { KeptAnswers } from '../../../src/refresh/kept-answers.ts'
import { RefreshLock } from '../../../src/refresh/lock.ts'
import { Refresher } from '../../../src/refresh/refresh.ts'
import { Scheduler } from '../../../src/refresh/scheduler.ts'
import { Sweeper } from '../../../src/refresh/sweeper.ts'
import { UnderWay } from '../../../src/refresh/under-way.ts'
import { Waiters } from '../../../src/refresh/waiters.ts'
import { DEPLOYMENT, KEY } from '../engine.ts'
import { Actor } from './actor.ts'
import type { Clock } from './clock.ts'
import { GatedDatabase, type Watch } from './gated-database.ts'
import type { Lane } from './lane.ts'
import { ModelDisk, ModelRedis, type RedisData } from './model-stores.ts'

export const SEND_LIMIT_MS = 30_000
export const SETTLE_MS = 60_000
const LINGER_MS = 300_000
const BREAKER_MS = 30_000

export interface ReplicaOptions {
  lane: Lane
  name: string
  callOut: Actor['callOut']
  watch: Watch
  disk: Map<string, string>
  redisData: RedisData
}

/** One start of a broker: the engine put together as the broker does it, on the stores and the clock of the schedule. */
export class Replica {
  readonly actor: Actor
  readonly engine: Engine
  readonly #database: GatedDatabase
  readonly #refresher: Refresher
  readonly #sweeper: Sweeper
  readonly #waiters = new Waiters()
  isReading = false

  constructor({ lane, name, callOut, watch, disk, redisData }: ReplicaOptions) {
    const { config, clock, database, integrations, fingerprints } = lane
    const { keyRing } = config
    const log = pino({ level: 'silent' })
    this.actor = new Actor(name, clock, callOut)
    this.#database = new GatedDatabase(this.actor, lane, watch)
    const claims = new Kysely<Tables>({ dialect: this.#database })
    const copies = new ModelRedis(lane.redis, this.actor, redisData)
    this.engine = {
      claimant: {
        claims,
        owner: name,
        deploymentId: DEPLOYMENT,
        keyIds: keyRing.keyIds,
        sendLimitMs: SEND_LIMIT_MS,
        settleMs: SETTLE_MS,
        breakerMs: BREAKER_MS,
      },
      committer: { claims, keyRing, fingerprints },
      integrations,
      heartbeat: new VirtualHeartbeat(database, name, 3_000, log, clock),
      keptAnswers: new KeptAnswers(new ModelDisk(config.dataDir, disk), copies, keyRing, log),
      counters: lane.counters,
      underWay: new UnderWay(),
      lingerMs: LINGER_MS,
      log,
    }
    this.#refresher = new Refresher(this.engine, new RefreshLock(null, 'model', log), this.#waiters)
    this.#sweeper = new Sweeper(this.engine, this.#refresher)
    const scheduler = new Scheduler(this.engine, this.#refresher)
    this.actor.run(() => {
      this.#sweeper.start()
      scheduler.start()
    })
  }

  /** Somebody asks for the account's token, which replaces this generation. */
  read(generation: number): void {
    this.isReading = true
    const end = () => {
      this.isReading = false
    }
    this.actor.run(() => this.#refresher.refresh(KEY, generation, 'waiting').then(end, end))
  }

  onChange(): void {
    this.#waiters.wake(KEY)
  }

  onFailover(): void {
    this.#database.breakAll()
    this.actor.run(() => this.#sweeper.onGap())
  }
}

class VirtualHeartbeat extends Heartbeat {
  readonly #clock: Clock

  constructor(
    ...[database, owner, trustMs, log, clock]: [...ConstructorParameters<typeof Heartbeat>, Clock]
  ) {
    super(database, owner, trustMs, log)
    this.#clock = clock
  }

  override nowMs(): number {
    return this.#clock.originMs + this.#clock.nowMs
  }
}
