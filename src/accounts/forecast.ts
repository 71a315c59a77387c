import { type Kysely, sql } from 'kysely'
import type { Database } from '../db/database.ts'
import type { Row, Tables } from '../db/tables.ts'

const BUCKET_SECONDS = 300
const HOUR_BUCKETS = 3600 / BUCKET_SECONDS
const HOURS = 24
const BUCKETS = HOURS * HOUR_BUCKETS
/** A forecast of hours need not be newer. */
const FRESH_MS = 60_000
/** An older one is not shown. */
const USABLE_MS = 600_000

interface ForecastHour {
  from: Date
  /** Refreshes that fall due in this hour, the second one of an account included. */
  due: number
  /** Refreshes that the pace allows in this hour. */
  capacity: number
  /** Refreshes that still wait at the end of the hour. */
  backlog: number
}

interface IntegrationForecast {
  integration: string
  state: Row<'amo_integrations'>['state']
  pacePerSecond: number
  /** Accounts that are due already. */
  backlog: number
  /** For how long the first of them has been due, in seconds. */
  oldestDueSeconds: number
  /** When nothing waits any more; null: not within 24 hours, or nothing is sent. */
  clearsAt: Date | null
  hours: ForecastHour[]
}

export interface Forecast {
  at: Date
  integrations: IntegrationForecast[]
}

/** The state of an integration when the simulation starts. */
interface Load {
  integration: string
  state: Row<'amo_integrations'>['state']
  pacePerSecond: number
  backlog: number
  oldestDueSeconds: number
  /** Seconds between two refreshes of an account in use. */
  periodSeconds: number
  /** Refreshes by bucket, for accounts in use and for idle ones. */
  due: number[]
  idle: number[]
}

/**
 * Forecasts the refreshes of the next 24 hours. All callers share one forecast a minute. A caller
 * waits only for the first one; while a later one is made, the one before is returned.
 */
export class Forecasts {
  readonly #database: Database
  #latest: { forecast: Forecast; madeMs: number } | undefined
  #running: Promise<Forecast> | undefined

  constructor(database: Database) {
    this.#database = database
  }

  async get(): Promise<Forecast> {
    const ageMs = performance.now() - (this.#latest?.madeMs ?? Number.NEGATIVE_INFINITY)
    if (this.#latest !== undefined && ageMs < FRESH_MS) return this.#latest.forecast
    this.#running ??= this.#make().finally(() => {
      this.#running = undefined
    })
    if (this.#latest === undefined || ageMs >= USABLE_MS) return this.#running
    this.#running.catch(() => {})
    return this.#latest.forecast
  }

  async #make(): Promise<Forecast> {
    const forecast = await forecastRefreshes(this.#database.db, new Date())
    this.#latest = { forecast, madeMs: performance.now() }
    return forecast
  }
}

/**
 * Counts the plan and simulates the next 24 hours. Reads one index entry for each account that is
 * due.
 */
async function forecastRefreshes(db: Kysely<Tables>, at: Date): Promise<Forecast> {
  const loads = await findLoads(db)
  return { at, integrations: loads.map((load) => simulate(load, at)) }
}

/** The accounts that the scheduler refreshes, in the words of the index amo_tokens_due. */
const isScheduled = sql`t.status in ('active', 'pending') and t.kind = 'oauth'
  and not t.paused and not t.shadow`

const bucketLength = sql`(${BUCKET_SECONDS} * interval '1 second')`
/** Beginning of the bucket; what is due already falls into the one before now. */
const beginning = sql`greatest(now() - ${bucketLength},
  date_bin(${bucketLength}, t."nextAttemptAt", now()))`
const bucket = sql`round(extract(epoch from beginning - now()) / ${BUCKET_SECONDS})::int as bucket`

async function findLoads(db: Kysely<Tables>): Promise<Load[]> {
  const soon = sql`t."nextAttemptAt" < now() + ${HOURS} * interval '1 hour'`
  const { rows: integrations } = await sql<Omit<Load, 'due' | 'idle' | 'backlog'>>`
    select i.name as integration, i.state, i."pacePerSecond",
      greatest(0, coalesce(extract(epoch from now() - (select min(t."nextAttemptAt") from amo_tokens t
        where t.integration = i.name and not amo_is_idle(t) and ${isScheduled})), 0))::float8 as "oldestDueSeconds",
      coalesce((select avg(extract(epoch from life)) from (
        select t."refreshAt" - t."issuedAt" as life from amo_tokens t
        where t.integration = i.name and t.kind = 'oauth' limit 100) sample), 64800)::float8 as "periodSeconds"
    from amo_integrations i order by i.name
  `.execute(db)
  // Only columns of the index are read, so that the table is not. Idle accounts, whose condition
  // needs the whole row, are planned a month ahead, so few of them are due.
  const { rows: counts } = await sql<{ integration: string; bucket: number; count: number }>`
    select integration, ${bucket}, count from (
      select t.integration, ${beginning} as beginning, count(*)::int as count from amo_tokens t
      where ${isScheduled} and ${soon} group by 1, 2) counts
  `.execute(db)
  const { rows: idle } = await sql<{ integration: string; bucket: number; count: number }>`
    select integration, ${bucket}, count from (
      select t.integration, ${beginning} as beginning, count(*)::int as count
      from amo_integrations i join amo_tokens t on t.integration = i.name
      where amo_is_idle(t) and ${isScheduled} and ${soon} group by 1, 2) counts
  `.execute(db)
  const bucketsOf = (rows: typeof counts, integration: string) => {
    const buckets = new Array<number>(BUCKETS + 1).fill(0)
    for (const row of rows) {
      if (row.integration === integration) buckets[row.bucket + 1] = row.count
    }
    return buckets
  }
  return integrations.map((each) => {
    const [backlog = 0, ...all] = bucketsOf(counts, each.integration)
    const [idleNow = 0, ...idleLater] = bucketsOf(idle, each.integration)
    const due = all.map((count, bucket) => Math.max(0, count - (idleLater[bucket] ?? 0)))
    // What is due already falls into the first bucket.
    due[0] = (due[0] ?? 0) + Math.max(0, backlog - idleNow)
    idleLater[0] = (idleLater[0] ?? 0) + idleNow
    return { ...each, backlog, due, idle: idleLater }
  })
}

/**
 * Plays the plan against the pace, five minutes at a time. Accounts in use go first, and come back
 * after their period. Idle ones come back a month later.
 */
function simulate(load: Load, at: Date): IntegrationForecast {
  const { integration, state, pacePerSecond, backlog, oldestDueSeconds } = load
  const capacity = state === 'running' ? pacePerSecond * BUCKET_SECONDS : 0
  const period = Math.max(1, Math.round(load.periodSeconds / BUCKET_SECONDS))
  const due = [...load.due]
  const waiting = { inUse: 0, idle: 0 }
  const hours: ForecastHour[] = []
  let clearsAt: Date | null = null
  let total = -backlog
  for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
    const inUse = due[bucket] ?? 0
    const idle = load.idle[bucket] ?? 0
    total += inUse + idle
    waiting.inUse += inUse
    waiting.idle += idle
    const served = Math.min(waiting.inUse, capacity)
    waiting.inUse -= served
    waiting.idle -= Math.min(waiting.idle, capacity - served)
    if (bucket + period < BUCKETS) due[bucket + period] = (due[bucket + period] ?? 0) + served
    const left = waiting.inUse + waiting.idle
    if (clearsAt === null && left < 1) {
      clearsAt = new Date(at.getTime() + (bucket + 1) * BUCKET_SECONDS * 1000)
    }
    if (bucket % HOUR_BUCKETS < HOUR_BUCKETS - 1) continue
    const from = new Date(at.getTime() + hours.length * 3_600_000)
    hours.push({
      from,
      due: Math.round(total),
      capacity: Math.floor(capacity * HOUR_BUCKETS),
      backlog: Math.ceil(left),
    })
    total = 0
  }
  return {
    ...{ integration, state, pacePerSecond, backlog, oldestDueSeconds, hours },
    clearsAt: backlog === 0 ? at : clearsAt,
  }
}
