import { Kysely } from 'kysely'
import { pino } from 'pino'
import { Heartbeat } from '../../../src/db/heartbeat.ts'
import type { Tables } from '../../../src/db/tables.ts'
import { CredentialRecord } from '../../../src/integrations/credential-record.ts'
import { ResponseJournal } from '../../../src/journal/response-journal.ts'
import { FailureChange } from '../../../src/lib/failure-change.ts'
import { InFlight } from '../../../src/lib/in-flight.ts'
import type { PeriodicWork } from '../../../src/lib/periodic-task.ts'
import type { CallRequest, CallResponse } from '../../../src/provider/call.ts'
import type { RefreshContext } from '../../../src/refresh/context.ts'
import { Gap } from '../../../src/refresh/gap.ts'
import { RefreshLock } from '../../../src/refresh/lock.ts'
import { recheckWork } from '../../../src/refresh/recheck.ts'
import { Refresher } from '../../../src/refresh/refresh.ts'
import { Scheduler } from '../../../src/refresh/scheduler.ts'
import { Sweeper, sweepIntervalMs } from '../../../src/refresh/sweeper.ts'
import { Waiters } from '../../../src/refresh/waiters.ts'
import { DEPLOYMENT, KEY } from '../engine.ts'
import { Actor } from './actor.ts'
import { clockOf } from './actor-clock.ts'
import { Chore } from './chore.ts'
import { GatedDatabase, type Watch } from './gated-database.ts'
import type { Lane } from './lane.ts'
import { ModelDisk, ModelRedis, type RedisData } from './model-stores.ts'
import type { VirtualTime } from './virtual-time.ts'

const SEND_LIMIT_MS = 30_000
export const SETTLE_MS = 60_000
const LINGER_MS = 300_000
const BREAKER_MS = 30_000
const CONNECTIONS = 4
const ATTEMPT_DAYS = 30

export interface ReplicaOptions {
  lane: Lane
  name: string
  /** The provider model. */
  receive: (actor: Actor, request: CallRequest) => Promise<CallResponse>
  watch: Watch
  disk: Map<string, string>
  redisData: RedisData
}

/**
 * One start of a broker. Assembles the refresh like the broker does, with the stores and the clock
 * of the schedule.
 */
export class Replica {
  readonly actor: Actor
  readonly context: RefreshContext
  readonly #database: GatedDatabase
  readonly #refresher: Refresher
  readonly #gap: Gap
  readonly #waiters = new Waiters()
  isReading = false

  constructor({ lane, name, receive, watch, disk, redisData }: ReplicaOptions) {
    const { config, time, database, integrations, fingerprints } = lane
    const { keyRing } = config
    const log = pino({ level: 'silent' })
    this.actor = new Actor(name, time)
    const clock = clockOf(this.actor)
    this.#database = new GatedDatabase(this.actor, lane, watch)
    const claims = new Kysely<Tables>({ dialect: this.#database })
    const copies = new ModelRedis(lane.redis, this.actor, redisData)
    this.context = {
      claimContext: {
        claims,
        owner: name,
        deploymentId: DEPLOYMENT,
        keyIds: keyRing.keyIds,
        limits: {
          sendLimitMs: SEND_LIMIT_MS,
          lingerMs: LINGER_MS,
          settleMs: SETTLE_MS,
          breakerMs: BREAKER_MS,
          minRestMs: 5_000,
        },
        hasSecondPlace: () => true,
        hasGap: () => this.#gap.isOpen,
        clock,
      },
      commitContext: { claims, owner: name, keyRing, fingerprints, clock },
      heartbeat: new VirtualHeartbeat(database, name, 3_000, log, time),
      responseJournal: new ResponseJournal(
        new ModelDisk(config.dataDir, this.actor, disk),
        copies,
        keyRing,
        log,
      ),
      provider: {
        integrations,
        credentials: new CredentialRecord(database, keyRing, integrations, log),
        call: (_client, request) => receive(this.actor, request),
      },
      process: {
        inFlight: new InFlight(),
        counters: lane.counters,
        log,
        tidyFailure: new FailureChange(),
      },
    }
    this.#gap = new Gap(this.context)
    const lock = new RefreshLock(null, 'model', clock, log)
    this.#refresher = new Refresher(this.context, lock, this.#waiters)
    const works: PeriodicWork[] = [
      new Sweeper(this.context, this.#refresher, ATTEMPT_DAYS),
      recheckWork(this.context, sweepIntervalMs(this.context)),
      new Scheduler(this.context, this.#refresher, CONNECTIONS),
    ]
    for (const work of works) this.actor.chores.set(work.name, new Chore(work))
  }

  /** Asks for the account's token, like a caller that has this generation. */
  read(generation: number): void {
    this.isReading = true
    const end = () => {
      this.isReading = false
    }
    this.#refresher.refresh(KEY, generation, 'waiting').then(end, end)
  }

  onChange(): void {
    this.#waiters.wake(KEY)
  }

  onFailover(): void {
    this.#database.breakAll()
    this.#gap.onGap('timeline')
  }
}

class VirtualHeartbeat extends Heartbeat {
  readonly #time: VirtualTime

  constructor(
    ...[database, owner, trustMs, log, time]: [
      ...ConstructorParameters<typeof Heartbeat>,
      VirtualTime,
    ]
  ) {
    super(database, owner, trustMs, log)
    this.#time = time
  }

  override nowMs(): number {
    return this.#time.originMs + this.#time.nowMs
  }
}
