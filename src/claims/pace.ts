import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'

/**
 * Who waits for a claim, and how many tokens of the integration's pace bucket the lane must leave
 * to the lanes before it. A reader therefore finds a token when the scheduled refreshes have taken
 * all that they may.
 */
const LANES = { waiting: 0, due: 1, idle: 2, unproven: 3, checking: 3 } as const
export type Lane = keyof typeof LANES

/**
 * The bucket holds the tokens of two seconds, and always enough for the last lane. At most as many
 * sends as it holds may be unanswered at a time: when a provider answers late, or spends tokens and
 * fails, only these are at risk (I10).
 */
const MIN_BURST = 4
const BURST_SECONDS = 2

const burst = sql`greatest(${MIN_BURST}::float8, i."pacePerSecond" * ${BURST_SECONDS}::float8)`

/** The tokens in the pace bucket of integration `i` at this moment. */
export const tokensInBucket = sql`least(${burst},
  i."paceTokens" + i."pacePerSecond" * extract(epoch from clock_timestamp() - i."paceAt"))`

/**
 * How many claims this lane may make for integration `i`: limited by the bucket, and by the sends
 * without a response.
 */
export function room(lane: Lane): RawBuilder<number> {
  return sql<number>`(least(${tokensInBucket}, ${burst} - amo_unanswered(i.name)) - ${LANES[lane]}::float8)`
}

/** A tenth of the pace is reserved for codes of people who have just consented. */
const CODE_SHARE = 0.1
const MIN_CODE_BURST = 2

/** The tokens of the reserved lane of integration `i` at this moment. */
const codeTokens = sql`least(
  greatest(${MIN_CODE_BURST}::float8, i."pacePerSecond" * ${CODE_SHARE * BURST_SECONDS}::float8),
  i."codeTokens" + i."pacePerSecond" * ${CODE_SHARE}::float8 * extract(epoch from clock_timestamp() - i."codeAt"))`

/**
 * Takes one token for the exchange of a code with a verified state: from the reserved lane, or from
 * what all other lanes leave. It is debited to the bucket in both cases, so that the pace holds. A
 * code that an operator presents waits like a reader instead. Codes are exchanged while an
 * integration is paused, because they do not live long.
 * @returns false when the code has to wait.
 */
export async function takeCodePace(
  db: Kysely<Tables>,
  integration: string,
  by: 'person' | 'operator',
): Promise<boolean> {
  const isReserved = sql`${by === 'person'} and ${codeTokens} >= 1`
  const { rows } = await sql`
    update amo_integrations i set "paceTokens" = ${tokensInBucket} - 1, "paceAt" = clock_timestamp(),
      "codeTokens" = ${codeTokens} - case when ${isReserved} then 1 else 0 end,
      "codeAt" = clock_timestamp()
    where i.name = ${integration}
      and (${isReserved} or ${room(by === 'person' ? 'unproven' : 'waiting')} >= 1)
    returning i.name
  `.execute(db)
  return rows.length === 1
}

/**
 * Takes one token from the integration's pace bucket, for a call that is not a refresh.
 * @returns false when the lane has to wait, or the integration is paused, halted or behind an open
 *   breaker.
 */
export async function takePace(
  db: Kysely<Tables>,
  integration: string,
  lane: Lane,
): Promise<boolean> {
  const { rows } = await sql`
    update amo_integrations i set "paceTokens" = ${tokensInBucket} - 1, "paceAt" = clock_timestamp()
    where i.name = ${integration} and i.state = 'running' and ${room(lane)} >= 1
      and not exists (select from amo_open_breakers o where o.integration = i.name)
    returning i.name
  `.execute(db)
  return rows.length === 1
}
