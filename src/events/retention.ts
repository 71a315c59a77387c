import { sql } from 'kysely'
import type { Database } from '../db/database.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'

const INTERVAL_MS = 600_000
/** Rows in one statement, far within its time limit. */
const BATCH = 1_000

/**
 * Removes events and deliveries after EVENT_DAYS. An event stays while a delivery of it is there,
 * and the newest of each account stays, because the next one continues its numbers. An announcement
 * of what ends stays until the end, because its key keeps it from being repeated.
 */
export class EventRetention implements PeriodicWork {
  readonly name = 'retention of events'
  readonly intervalMs = INTERVAL_MS
  readonly #database: Pick<Database, 'db'>
  readonly #days: number

  constructor(database: Pick<Database, 'db'>, days: number) {
    this.#database = database
    this.#days = days
  }

  async run(): Promise<void> {
    while ((await this.#removeDeliveries()) === BATCH);
    while ((await this.#removeEvents()) === BATCH);
  }

  /** A delivery that waits for a disabled endpoint is not kept for ever. */
  async #removeDeliveries(): Promise<number> {
    const { numAffectedRows = 0n } = await sql`
      delete from amo_deliveries where id in (
        select d.id from amo_deliveries d join amo_endpoints e on e.id = d."endpointId"
        where coalesce(d."finishedAt", d."createdAt") < now() - ${this.#days} * interval '1 day'
          and (d.state <> 'pending' or e.state = 'disabled')
        limit ${BATCH})
    `.execute(this.#database.db)
    return Number(numAffectedRows)
  }

  async #removeEvents(): Promise<number> {
    const { numAffectedRows = 0n } = await sql`
      delete from amo_events where id in (
        select e.id from amo_events e
        where e.position is not null and e.at < now() - ${this.#days} * interval '1 day'
          and coalesce((e.detail->>'ends_at')::timestamptz < clock_timestamp(), true)
          and not exists (select from amo_deliveries d where d."eventIds" @> array[e.id])
          and (e."accountId" is null
            or e."accountSequence" < (select max(later."accountSequence") from amo_events later
              where later.integration = e.integration and later."accountId" = e."accountId")
            or not exists (select from amo_tokens t
              where t.integration = e.integration and t."accountId" = e."accountId"))
        limit ${BATCH})
    `.execute(this.#database.db)
    return Number(numAffectedRows)
  }
}
