import { type Kysely, sql, type Transaction } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'

type Column =
  | 'id'
  | 'integration'
  | 'accountId'
  | 'generation'
  | 'owner'
  | 'sendCount'
  | 'claimedAt'
  | 'finishedAt'
  | 'outcome'
  | 'outcomeCode'
  | 'committedFingerprint'
  | 'purpose'
  | 'steps'

/** An attempt as the verifier reads it. */
export interface Attempt extends Pick<Row<'amo_refresh_attempts'>, Column> {
  fingerprint: string
  /** Generation of the account's present pair; null: the account was removed. */
  rowGeneration: number | null
}

/** More steps than this are not stored: the first one and the newest stay. */
export const MAX_STEPS = 50

const BATCH = 1_000

/** Counts the attempts on record. */
export async function countAttempts(db: Kysely<Tables>): Promise<number> {
  const { rows } = await sql<{ attempts: number }>`
    select count(*)::int as attempts from amo_refresh_attempts
  `.execute(db)
  return rows[0]?.attempts ?? 0
}

/**
 * Reads all attempts, account by account, the oldest first. A cursor sends them in portions, so
 * that neither this process nor the driver ever has them all.
 */
export async function* readAttempts(trx: Transaction<Tables>): AsyncGenerator<Attempt[]> {
  await sql`
    declare amo_history no scroll cursor for
    select a.id, a.integration, a."accountId", a.generation, a."refreshTokenFingerprint" as fingerprint,
      a.owner, a."sendCount", a."claimedAt", a."finishedAt", a.outcome, a."outcomeCode",
      a."committedFingerprint", a.purpose, a.steps, t.generation as "rowGeneration"
    from amo_refresh_attempts a left join amo_tokens t
      on t.integration = a.integration and t."accountId" = a."accountId"
    order by a.integration, a."accountId", a.id
  `.execute(trx)
  for (;;) {
    const { rows } = await sql<Attempt>`fetch ${sql.lit(BATCH)} from amo_history`.execute(trx)
    if (rows.length === 0) break
    yield rows
  }
  await sql`close amo_history`.execute(trx)
}
