import { type Kysely, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'

/**
 * Returns whether the database has never given out this attempt: then it is a backup from before
 * it.
 */
export async function isBehind(db: Kysely<Tables>, attemptId: number): Promise<boolean> {
  const { rows } = await sql<{ isBehind: boolean }>`
    select coalesce(pg_sequence_last_value(
      pg_get_serial_sequence('amo_refresh_attempts', 'id')::regclass), 0) < ${attemptId} as "isBehind"
  `.execute(db)
  return rows[0]?.isBehind === true
}
