import { sql, type Transaction } from 'kysely'
import type { Database } from '../db/database.ts'
import type { Row, Tables } from '../db/tables.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'

const INTERVAL_MS = 1_000
/** A process keeps at most this many reports while it waits for PostgreSQL. */
const MAX_FACTS = 200
/** An event that was recorded later than this is marked as delayed. */
const DELAYED_MS = 5_000
/** A part that fails here is reported again when another replica has reported its recovery. */
const REASSERT_MS = 60_000

interface Fact {
  part: string
  isDegraded: boolean
  at: Date
}

interface PartState {
  isDegraded: boolean
  /** When it became so. */
  since: Date
  isReported: boolean
}

interface WatchDependencies {
  database: Database
  /** Returns the names of the parts that do not work now. Undefined: nothing is known. */
  degradedParts(): readonly string[] | undefined
  /** Returns PostgreSQL's time, milliseconds since 1970. */
  nowMs(): number
}

/**
 * Reports the parts of the broker that stop working and work again. It keeps what happens while
 * PostgreSQL cannot be written to, and records it afterwards. The replicas report an incident once.
 */
export class BrokerStateWatch implements PeriodicWork {
  readonly name = 'state of the broker'
  readonly intervalMs = INTERVAL_MS
  readonly #with: WatchDependencies
  readonly #parts = new Map<string, PartState>()
  readonly #facts: Fact[] = []
  #isStarted = false
  #reassertedMs = 0

  constructor(dependencies: WatchDependencies) {
    this.#with = dependencies
  }

  async run(): Promise<void> {
    this.#look()
    if (!this.#with.database.storage.canWrite()) return
    if (!this.#isStarted) await this.#closeOldIncidents()
    await this.#reassert()
    for (let fact = this.#facts[0]; fact !== undefined; fact = this.#facts[0]) {
      await this.#record(fact)
      this.#facts.shift()
    }
  }

  /** A change counts when two looks in a row see it. */
  #look(): void {
    const parts = this.#with.degradedParts()
    if (parts === undefined) return
    const degraded = new Set(parts)
    for (const part of new Set([...degraded, ...this.#parts.keys()])) {
      const isDegraded = degraded.has(part)
      const known = this.#parts.get(part)
      if ((known?.isDegraded ?? false) !== isDegraded) {
        const wasReported = known?.isReported ?? true
        // A change that did not last was not reported, and neither is its end.
        if (known !== undefined && !wasReported) this.#parts.delete(part)
        else this.#parts.set(part, { isDegraded, since: this.#now(), isReported: false })
      } else if (known !== undefined && !known.isReported) {
        known.isReported = true
        this.#report({ part, isDegraded, at: known.since })
      }
    }
  }

  #report(fact: Fact): void {
    if (this.#facts.length < MAX_FACTS) this.#facts.push(fact)
  }

  /** Ends the incidents that an earlier process left open, unless they continue here. */
  async #closeOldIncidents(): Promise<void> {
    const { rows } = await sql<{ part: string; type: string }>`
      select distinct on (detail->>'part') detail->>'part' as part, type from amo_events
      where type in ('broker.degraded', 'broker.recovered')
      order by detail->>'part', at desc, inserted desc
    `.execute(this.#with.database.db)
    for (const { part, type } of rows) {
      if (type !== 'broker.degraded' || this.#parts.has(part)) continue
      this.#parts.set(part, { isDegraded: false, since: this.#now(), isReported: false })
    }
    this.#isStarted = true
  }

  /** Another replica may have recovered while this one has not. */
  async #reassert(): Promise<void> {
    const nowMs = this.#with.nowMs()
    if (nowMs - this.#reassertedMs < REASSERT_MS) return
    this.#reassertedMs = nowMs
    for (const [part, { isDegraded, isReported, since }] of this.#parts) {
      if (isDegraded && isReported && nowMs - since.getTime() > REASSERT_MS) {
        this.#report({ part, isDegraded, at: this.#now() })
      }
    }
  }

  /** Records the fact, unless it is the present state already or a newer one is recorded. */
  async #record({ part, isDegraded, at }: Fact): Promise<void> {
    const delayed = this.#with.nowMs() - at.getTime() > DELAYED_MS
    await this.#with.database.db.transaction().execute(async (trx) => {
      // The replicas record one after the other.
      await sql`select from amo_event_head for update`.execute(trx)
      const last = await findLast(trx, part)
      const isNews = isDegraded
        ? last?.type !== 'broker.degraded' && (last === undefined || last.at < at)
        : last?.type === 'broker.degraded' && last.at <= at
      if (!isNews) return
      await trx
        .insertInto('amo_events')
        .values({
          type: isDegraded ? 'broker.degraded' : 'broker.recovered',
          at,
          delayed,
          state: isDegraded ? 'degraded' : 'ok',
          reason: part,
          detail: JSON.stringify({ part }),
        })
        .execute()
    })
  }

  #now(): Date {
    return new Date(this.#with.nowMs())
  }
}

/** Returns the newest report about the part. */
async function findLast(
  trx: Transaction<Tables>,
  part: string,
): Promise<Pick<Row<'amo_events'>, 'type' | 'at'> | undefined> {
  return trx
    .selectFrom('amo_events')
    .select(['type', 'at'])
    .where('type', 'in', ['broker.degraded', 'broker.recovered'])
    .where(sql<string>`detail->>'part'`, '=', part)
    .orderBy('at', 'desc')
    .orderBy('inserted', 'desc')
    .limit(1)
    .executeTakeFirst()
}
