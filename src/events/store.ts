import { type Kysely, sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { EventRow } from './event-json.ts'

/** Returns events after a position, in the order of their positions. */
export function findEvents(db: Kysely<Tables>, after: number, limit: number): Promise<EventRow[]> {
  return db
    .selectFrom('amo_events')
    .selectAll()
    .where('position', '>', after)
    .orderBy('position')
    .limit(limit)
    .execute()
}

/** Returns the greatest position that was given. */
export async function getHeadPosition(db: Kysely<Tables>): Promise<number> {
  const row = await db.selectFrom('amo_event_head').select('position').executeTakeFirstOrThrow()
  return row.position
}

/**
 * Skips the positions that a promoted server may have forgotten. Readers have seen them, and would
 * miss new events that get the same positions.
 */
export async function skipPositions(db: Kysely<Tables>): Promise<void> {
  await sql`update amo_event_head set position = position + 1000000`.execute(db)
}

/** Inserts an event that goes to this endpoint only, to test it. Returns its id. */
export async function insertTestEvent(
  trx: Transaction<Tables>,
  endpointId: string,
  endpoint: string,
): Promise<string> {
  const { id } = await trx
    .insertInto('amo_events')
    .values({
      type: 'endpoint.test',
      state: 'test',
      endpointId,
      detail: JSON.stringify({ endpoint }),
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  return id
}
