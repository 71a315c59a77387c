import { randomUUID } from 'node:crypto'
import { sql, type Transaction } from 'kysely'
import type { EventType } from '../contract/events.ts'
import type { Tables } from '../db/tables.ts'
import type { EventRow } from './event-json.ts'
import { inSeconds, insertDelivery, isUntouched } from './insert-delivery.ts'
import type { Lanes } from './lanes.ts'

/** An account that fails, recovers and fails again within this time is flapping. */
const WINDOW_SECONDS = 3600
const CHANGES = 3
/** Its changes are reported once it is calm for this long, or after WINDOW_SECONDS. */
const CALM_SECONDS = 600

const FLAPPING_TYPES: readonly EventType[] = ['account.reauth_required', 'account.recovered']

/** Returns the ids of events that are the third or a later change of their account in an hour. */
export async function findFlapping(
  trx: Transaction<Tables>,
  events: readonly EventRow[],
): Promise<ReadonlySet<string>> {
  const ids = events.filter(({ type }) => FLAPPING_TYPES.includes(type)).map(({ id }) => id)
  if (ids.length === 0) return new Set()
  const { rows } = await sql<{ id: string }>`
    select e.id from amo_events e where e.id = any(${ids}::uuid[]) and ${CHANGES} <= (
      select count(*) from amo_events earlier
      where earlier.integration = e.integration and earlier."accountId" = e."accountId"
        and earlier."accountSequence" <= e."accountSequence"
        and earlier.type = any(${FLAPPING_TYPES}::text[])
        and earlier.at > e.at - ${WINDOW_SECONDS} * interval '1 second')
  `.execute(trx)
  return new Set(rows.map(({ id }) => id))
}

/**
 * Adds the change to the message that reports the flapping account, or begins that message. It is
 * sent when the account has been calm for a while, and at the latest an hour after it was begun.
 */
export async function addToFlapping(
  trx: Transaction<Tables>,
  endpointId: string,
  event: EventRow,
  lanes: Lanes,
): Promise<void> {
  const last = lanes.of(event).at(-1)
  const { rows } = await sql`
    update amo_deliveries set "eventIds" = "eventIds" || ${event.id}::uuid,
      "nextAttemptAt" = least(${inSeconds(CALM_SECONDS)},
        "createdAt" + ${WINDOW_SECONDS} * interval '1 second')
    where id = (select id from amo_deliveries
      where id = ${last ?? null} and kind = 'flapping' and ${isUntouched}
      for update skip locked)
    returning id
  `.execute(trx)
  if (rows.length > 0) return
  await insertDelivery(trx, endpointId, event, lanes, {
    kind: 'flapping',
    messageId: randomUUID(),
    dueInSeconds: CALM_SECONDS,
  })
}

/** Makes messages about a flapping account due now, because another event waits behind them. */
export async function hurryFlapping(
  trx: Transaction<Tables>,
  ids: readonly number[],
): Promise<void> {
  if (ids.length === 0) return
  await sql`
    update amo_deliveries set "nextAttemptAt" = clock_timestamp()
    where id in (select id from amo_deliveries
      where id = any(${ids}::bigint[]) and kind = 'flapping' and ${isUntouched}
      for update skip locked)
  `.execute(trx)
}
