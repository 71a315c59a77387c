import { type Kysely, sql } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import type { Claimed } from './claim.ts'

const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
/** Waits before the second attempt, the third, and so on. No attempt follows the last one. */
const RETRIES_MS = [
  5 * SECOND_MS,
  MINUTE_MS,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  2 * HOUR_MS,
  8 * HOUR_MS,
  24 * HOUR_MS,
]
/**
 * Waits get longer by up to this share, so that messages that failed together are not all repeated
 * at the same moment.
 */
const JITTER = 0.2
/** An endpoint to which nothing could be delivered for this long is disabled. */
const GIVE_UP_DAYS = 5
/** A delivery stores its newest attempts, at most this many. */
const HISTORY = 20

/** How an attempt ended. */
export interface AttemptResult {
  /** `expired`: nothing is left to deliver, which is not the endpoint's fault. */
  outcome: 'delivered' | 'failed' | 'gone' | 'expired'
  status: number | null
  /** Why it failed, as a code. */
  code: string | null
  excerpt: string | null
  ms: number
  /** The receiver asked to wait for this long. */
  retryAfterSeconds: number | undefined
}

/** What becomes of the delivery. */
export type Ending = 'delivered' | 'retried' | 'failed' | 'late'

/**
 * Stores the result of an attempt, if the delivery still belongs to this claim.
 *
 * @param random from 0 up to, but not including, 1
 * @returns `late` when another replica has taken the delivery meanwhile
 */
export async function finishDelivery(
  db: Kysely<Tables>,
  claimed: Claimed,
  result: AttemptResult,
  random: number,
): Promise<Ending> {
  const isDelivered = result.outcome === 'delivered'
  const waitMs = result.outcome === 'failed' ? RETRIES_MS[claimed.attempts] : undefined
  const ending = isDelivered ? 'delivered' : waitMs === undefined ? 'failed' : 'retried'
  const minimumMs = (result.retryAfterSeconds ?? 0) * SECOND_MS
  const delayMs = Math.round(Math.max((waitMs ?? 0) * (1 + JITTER * random), minimumMs))
  const now = sql<Date>`clock_timestamp()`
  const { numUpdatedRows } = await db
    .updateTable('amo_deliveries')
    .set({
      state: ending === 'retried' ? 'pending' : ending,
      attempts: isDelivered ? claimed.attempts : claimed.attempts + 1,
      nextAttemptAt: sql<Date>`clock_timestamp() + ${delayMs} * interval '1 millisecond'`,
      owner: null,
      leaseUntil: null,
      lastStatus: result.status,
      lastError: result.code,
      history: historyWith(claimed, result),
      finishedAt: ending === 'retried' ? null : now,
    })
    .where('id', '=', claimed.id)
    .where('owner', '=', claimed.owner)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n ? ending : 'late'
}

function historyWith({ history }: Claimed, result: AttemptResult) {
  const { status, code, ms, excerpt } = result
  const attempt = {
    ...(status !== null && { status }),
    ...(code !== null && { code }),
    ms,
    ...(excerpt !== null && { excerpt }),
  }
  const before = JSON.stringify(history.slice(1 - HISTORY))
  return sql<string>`${before}::jsonb || jsonb_build_array(
    jsonb_build_object('at', clock_timestamp()) || ${JSON.stringify(attempt)}::jsonb)`
}

/**
 * Notes a result on the endpoint. Disables it when the receiver wants nothing more, or has taken
 * nothing for five days.
 *
 * @returns why it was disabled now; undefined: it was not
 */
export async function noteOnEndpoint(
  db: Kysely<Tables>,
  endpointId: string,
  { outcome, code }: AttemptResult,
): Promise<Row<'amo_endpoints'>['disabledReason'] | undefined> {
  if (outcome === 'expired') return undefined
  if (outcome === 'delivered') {
    await sql`
      update amo_endpoints
      set "failingSince" = null, "lastErrorCode" = null, "lastSuccessAt" = clock_timestamp()
      where id = ${endpointId} and ("failingSince" is not null or "lastErrorCode" is not null
        or "lastSuccessAt" is null or "lastSuccessAt" < clock_timestamp() - interval '1 minute')
    `.execute(db)
    return undefined
  }
  const isOver = sql`(${outcome === 'gone'}::boolean
    or coalesce("failingSince" < clock_timestamp() - ${GIVE_UP_DAYS} * interval '1 day', false))`
  const { rows } = await sql<{ state: string; disabledReason: string | null }>`
    update amo_endpoints
    set "failingSince" = coalesce("failingSince", clock_timestamp()), "lastErrorCode" = ${code},
      state = case when ${isOver} then 'disabled' else state end,
      "disabledReason" = case when ${isOver} then ${outcome === 'gone' ? 'gone' : 'failing'} end
    where id = ${endpointId} and state = 'active'
      and ("failingSince" is null or "lastErrorCode" is distinct from ${code} or ${isOver})
    returning state, "disabledReason"
  `.execute(db)
  const [row] = rows
  return row?.state === 'disabled' ? row.disabledReason : undefined
}
