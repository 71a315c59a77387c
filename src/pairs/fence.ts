import { type Kysely, sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { AccountKey } from '../lib/account-key.ts'

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
 * later one is newer (R11).
 */
export async function nextGeneration(trx: Transaction<Tables>): Promise<number> {
  const { rows } = await sql<{ generation: number }>`
    select nextval('amo_generation') as generation
  `.execute(trx)
  return Number(rows[0]?.generation)
}

/**
 * Moves the sequence beyond every generation that may have been used, and many more that nobody
 * remembers (sql/004_refresh_attempts.sql). `known` is the greatest outside of the database.
 *
 * @param isCertain false: only when the sequence is behind one of those.
 */
export async function raiseGenerations(
  db: Kysely<Tables>,
  known: number,
  { isCertain }: { isCertain: boolean },
): Promise<void> {
  await sql`select amo_raise_generations(${known}, ${isCertain})`.execute(db)
}
