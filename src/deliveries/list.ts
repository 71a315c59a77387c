import { type Kysely, sql } from 'kysely'
import type { Act } from '../audit/act.ts'
import type { Database } from '../db/database.ts'
import type { Row, Tables } from '../db/tables.ts'
import { BrokerError } from '../lib/errors.ts'
import { PASSABLE_AFTER } from './claim.ts'

/** A delivery with the type of its events: they all have the same one. */
export type ListedDelivery = Omit<Row<'amo_deliveries'>, 'afterIds' | 'owner'> & {
  type: Row<'amo_events'>['type'] | null
}

interface DeliveryFilter {
  endpointId: string
  state?: Row<'amo_deliveries'>['state'] | undefined
  /** Only deliveries of this event. */
  event?: string | undefined
  /** Only deliveries before this one. */
  before?: number | undefined
}

const COLUMNS = [
  'd.id',
  'd.endpointId',
  'd.messageId',
  'd.kind',
  'd.eventIds',
  'd.integration',
  'd.accountId',
  'd.state',
  'd.attempts',
  'd.nextAttemptAt',
  'd.leaseUntil',
  'd.lastStatus',
  'd.lastError',
  'd.history',
  'd.createdAt',
  'd.finishedAt',
] as const

/** Returns deliveries of an endpoint, the newest first. */
export function listDeliveries(
  db: Kysely<Tables>,
  { endpointId, state, event, before }: DeliveryFilter,
  limit: number,
): Promise<ListedDelivery[]> {
  return db
    .selectFrom('amo_deliveries as d')
    .leftJoin('amo_events as e', (join) => join.on('e.id', '=', sql<string>`d."eventIds"[1]`))
    .select([...COLUMNS, 'e.type'])
    .where('d.endpointId', '=', endpointId)
    .$if(state !== undefined, (query) => query.where('d.state', '=', state ?? 'pending'))
    .$if(event !== undefined, (query) =>
      query.where(sql<boolean>`d."eventIds" @> array[${event}::uuid]`),
    )
    .$if(before !== undefined, (query) => query.where('d.id', '<', before ?? 0))
    .orderBy('d.id', 'desc')
    .limit(limit)
    .execute()
}

/**
 * Sends a delivery again that has ended, under the same id. No later message waits for it. Throws
 * `delivery_not_found`.
 */
export async function resendDelivery(
  { db }: Database,
  endpointId: string,
  id: number,
  act: Act,
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const { numUpdatedRows } = await trx
      .updateTable('amo_deliveries')
      .set({
        state: 'pending',
        attempts: PASSABLE_AFTER,
        afterIds: [],
        nextAttemptAt: sql<Date>`clock_timestamp()`,
        finishedAt: null,
      })
      .where('endpointId', '=', endpointId)
      .where('id', '=', id)
      .where('state', 'in', ['delivered', 'failed', 'cancelled'])
      .executeTakeFirstOrThrow()
    if (numUpdatedRows !== 1n) {
      const detail = `This endpoint has no delivery ${id} that has ended.`
      throw new BrokerError('delivery_not_found', detail)
    }
    await sql`select pg_notify('amo_deliveries', '')`.execute(trx)
    await act.record(trx)
  })
}
