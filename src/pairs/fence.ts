import { type Kysely, sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { AccountKey } from '../lib/account-key.ts'

/** By then every replica has noticed a failover and committed what its disk has. */
const NEW_TIMELINE_S = 10

/**
 * Identifies the pair that a change is meant for: the generation and the fingerprint of its refresh
 * token (I3).
 */
export interface Fence extends AccountKey {
  generation: number
  fingerprint: string
}

/**
 * Finds the fence of the pair that the row has now.
 * @returns undefined when the account is missing, or has no refresh token.
 */
export async function findFence(
  db: Kysely<Tables>,
  { integration, accountId }: AccountKey,
): Promise<Fence | undefined> {
  const row = await db
    .selectFrom('amo_tokens')
    .select(['generation', 'refreshTokenFingerprint as fingerprint'])
    .where('integration', '=', integration)
    .where('accountId', '=', accountId)
    .executeTakeFirst()
  if (row === undefined || row.fingerprint === null) return undefined
  return { integration, accountId, generation: row.generation, fingerprint: row.fingerprint }
}

/**
 * Takes the next generation. All accounts share one sequence, so that none is used twice and a
 * later one is newer (R11). On a server that was promoted since the last call, it first moves the
 * sequence beyond what the former primary may have given out (T16). That takes a lock, so a
 * transaction takes its generation before it locks rows.
 */
export async function nextGeneration(trx: Transaction<Tables>): Promise<number> {
  const { rows } = await sql<{ generation: number }>`
    select amo_next_generation() as generation
  `.execute(trx)
  return Number(rows[0]?.generation)
}

/**
 * Returns whether PostgreSQL was promoted since the generations were last made safe, or in the last
 * `NEW_TIMELINE_S` seconds. Then other replicas may have responses whose commits were forgotten.
 */
export async function isOnNewTimeline(db: Kysely<Tables>): Promise<boolean> {
  const { rows } = await sql<{ isNew: boolean }>`
    select amo_is_failed_over() or coalesce(
      "seenAt" > clock_timestamp() - ${NEW_TIMELINE_S} * interval '1 second', false) as "isNew"
    from amo_timeline
  `.execute(db)
  return rows[0]?.isNew === true
}

/**
 * Moves the sequence beyond every generation that may have been used, and those that nobody
 * remembers (sql/202611262015_generations.sql). `known` is the greatest outside of the database.
 *
 * @param isCertain false: only when the sequence is behind one of those, or the server was
 *   promoted.
 */
export async function raiseGenerations(
  db: Kysely<Tables>,
  known: number,
  { isCertain }: { isCertain: boolean },
): Promise<void> {
  await sql`select amo_raise_generations(${known}, ${isCertain})`.execute(db)
}
