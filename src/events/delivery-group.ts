import { randomUUID } from 'node:crypto'
import { sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { EventRow } from './event-json.ts'
import { insertDelivery, isUntouched } from './insert-delivery.ts'
import type { Lanes } from './lanes.ts'

/** More accounts of one integration than this become one message. */
const MAX_SINGLE = 5
const WINDOW_SECONDS = 600
/** How long a message waits for others of the same kind. */
const COLLECT_SECONDS = 10

/**
 * Creates the delivery for an account that has to be authorized again. If many accounts of its
 * integration have to be within ten minutes, one message names them all. The first such message is
 * sent after some seconds. Later accounts share a second one, ten minutes after the first.
 */
export async function addToGroup(
  trx: Transaction<Tables>,
  endpointId: string,
  event: EventRow,
  lanes: Lanes,
): Promise<void> {
  const before = lanes.of(event)
  const group = await lockOpenGroup(trx, endpointId, event)
  const isFree = before.length === 0
  // Another event of the account waits for delivery, and the order of its events comes first.
  if (isFree && group !== undefined) {
    await sql`
      update amo_deliveries set "eventIds" = "eventIds" || ${event.id}::uuid where id = ${group}
    `.execute(trx)
    lanes.add(event, group)
    return
  }
  if (!isFree || (await countRecent(trx, event)) <= MAX_SINGLE) {
    await insertDelivery(trx, endpointId, event, lanes, {
      kind: 'single',
      dueInSeconds: COLLECT_SECONDS,
    })
    return
  }
  const members = await mergeSingles(trx, endpointId, event)
  const id = await insertDelivery(trx, endpointId, event, lanes, {
    kind: 'group',
    messageId: randomUUID(),
    eventIds: members.flatMap(({ eventIds }) => eventIds),
    dueInSeconds: await findWait(trx, endpointId, event),
  })
  for (const member of members) lanes.replace(member.id, id)
}

async function lockOpenGroup(
  trx: Transaction<Tables>,
  endpointId: string,
  { integration }: EventRow,
): Promise<number | undefined> {
  const { rows } = await sql<{ id: number }>`
    select id from amo_deliveries
    where "endpointId" = ${endpointId} and integration = ${integration} and kind = 'group'
      and ${isUntouched}
    order by id desc limit 1 for update skip locked
  `.execute(trx)
  return rows[0]?.id
}

/** Counts the accounts of the integration in the window that ends with this event. */
async function countRecent(
  trx: Transaction<Tables>,
  { type, integration, at, position }: EventRow,
): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(distinct "accountId")::int as count from amo_events
    where type = ${type} and integration = ${integration} and position <= ${position}
      and at > ${at}::timestamptz - ${WINDOW_SECONDS} * interval '1 second'
  `.execute(trx)
  return rows[0]?.count ?? 0
}

/** Ends the messages about single accounts of the window that were not sent, and returns them. */
async function mergeSingles(
  trx: Transaction<Tables>,
  endpointId: string,
  { type, integration, at }: EventRow,
): Promise<{ id: number; eventIds: string[] }[]> {
  const { rows } = await sql<{ id: number; eventIds: string[] }>`
    update amo_deliveries set state = 'grouped', "finishedAt" = clock_timestamp()
    where id in (
      select d.id from (
        select * from amo_deliveries
        where "endpointId" = ${endpointId} and integration = ${integration} and kind = 'single'
          and ${isUntouched}
        for update skip locked
      ) d join amo_events e on e.id = d."eventIds"[1]
      where e.type = ${type} and e.at > ${at}::timestamptz - ${WINDOW_SECONDS} * interval '1 second'
        and not exists (select from amo_deliveries other
          where other."endpointId" = d."endpointId" and other.integration = d.integration
            and other."accountId" = d."accountId" and other.state = 'pending' and other.id <> d.id))
    returning id, "eventIds"
  `.execute(trx)
  return rows.toSorted((a, b) => a.id - b.id)
}

/** Returns how many seconds the group waits, so that there is one message in ten minutes. */
async function findWait(
  trx: Transaction<Tables>,
  endpointId: string,
  { integration }: EventRow,
): Promise<number> {
  const { rows } = await sql<{ seconds: number | null }>`
    select (${WINDOW_SECONDS} - extract(epoch from clock_timestamp() - max("createdAt")))::float8 as seconds
    from amo_deliveries
    where "endpointId" = ${endpointId} and integration = ${integration} and kind = 'group'
  `.execute(trx)
  return Math.max(COLLECT_SECONDS, rows[0]?.seconds ?? 0)
}
