import { sql, type Transaction } from 'kysely'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import { failpoint } from '../lib/failpoint.ts'
import type { EventRow } from './event-json.ts'
import { fanOut } from './fan-out.ts'

/** Events per transaction. Limits how long it takes, and how long the next sequencer waits. */
export const SEQUENCE_BATCH = 200

/**
 * Gives positions to the oldest events that have none, and creates their deliveries, in one
 * transaction. Events are in the order of their insertion, which for one account is the order of
 * its commits. An event whose transaction is still open gets its position later, behind everything
 * that readers have seen, so that they cannot miss it.
 *
 * @returns the events; empty when there are none, or when another replica does the work
 */
export async function sequenceEvents({ db }: Pick<Database, 'db'>): Promise<EventRow[]> {
  if (!(await hasUnsequenced(db))) return []
  const sequenced = await db.transaction().execute(async (trx) => {
    const head = await trx
      .selectFrom('amo_event_head')
      .select('position')
      .forUpdate()
      .skipLocked()
      .executeTakeFirst()
    if (head === undefined) return []
    // A statement of its own: its snapshot is taken after the lock.
    const events = await givePositions(trx, head.position)
    const last = events.at(-1)?.position
    if (last === undefined || last === null) return []
    failpoint('events_sequenced')
    await fanOut(trx, events)
    failpoint('events_fanned_out')
    await trx.updateTable('amo_event_head').set({ position: last }).execute()
    return events
  })
  failpoint('events_committed')
  return sequenced
}

async function hasUnsequenced(db: Database['db']): Promise<boolean> {
  const row = await db
    .selectFrom('amo_events')
    .select('inserted')
    .where('position', 'is', null)
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}

async function givePositions(trx: Transaction<Tables>, head: number): Promise<EventRow[]> {
  const { rows } = await sql<EventRow>`
    with batch as materialized (
      select id, inserted, integration, "accountId" from amo_events where position is null
      order by inserted limit ${SEQUENCE_BATCH}
    ), numbered as (
      select id, ${head}::bigint + row_number() over (order by inserted) as position,
        case when "accountId" is not null then coalesce((
            select max(earlier."accountSequence") from amo_events earlier
            where earlier.integration = batch.integration and earlier."accountId" = batch."accountId"), 0)
          + row_number() over (partition by integration, "accountId" order by inserted)
        end as sequence
      from batch
    )
    update amo_events e set position = numbered.position, "accountSequence" = numbered.sequence
    from numbered where e.id = numbered.id
    returning e.*
  `.execute(trx)
  return rows.toSorted((a, b) => (a.position ?? 0) - (b.position ?? 0))
}
