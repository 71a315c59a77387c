import { sql, type Transaction } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import type { EventRow } from './event-json.ts'
import type { Lanes } from './lanes.ts'

interface Plan {
  kind: Row<'amo_deliveries'>['kind']
  /** What the receiver sees as the id. By default that of the event. */
  messageId?: string
  /** Earlier events of the same message. */
  eventIds?: string[]
  dueInSeconds: number
}

const AT_ONCE: Plan = { kind: 'single', dueInSeconds: 0 }

/** Inserts a delivery behind those of the same account, and returns its id. */
export async function insertDelivery(
  trx: Transaction<Tables>,
  endpointId: string,
  event: EventRow,
  lanes: Lanes,
  { kind, messageId = event.id, eventIds = [], dueInSeconds }: Plan = AT_ONCE,
): Promise<number> {
  const before = lanes.of(event).at(-1)
  const { id } = await trx
    .insertInto('amo_deliveries')
    .values({
      endpointId,
      messageId,
      kind,
      eventIds: [...eventIds, event.id],
      integration: event.integration,
      accountId: kind === 'group' ? null : event.accountId,
      afterIds: before === undefined || kind === 'group' ? [] : [before],
      nextAttemptAt: inSeconds(dueInSeconds),
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  lanes.add(event, id)
  return id
}

/** Returns PostgreSQL's time plus this many seconds. */
export function inSeconds(seconds: number) {
  return sql<Date>`clock_timestamp() + ${seconds} * interval '1 second'`
}

/** The condition of a delivery that no sender has taken yet, so that events can be added to it. */
export const isUntouched = sql<boolean>`state = 'pending' and attempts = 0 and "leaseUntil" is null`
