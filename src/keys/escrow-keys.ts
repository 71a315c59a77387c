import { type Kysely, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'

/** A change that waits for longer shows that the escrow is behind. Usually it is one second. */
const BEHIND_SECONDS = 60

/** Returns the id of the newest change that is not in the escrow yet; 0: there is none. */
export async function findNewestChange(db: Kysely<Tables>): Promise<number> {
  const { rows } = await sql<{ id: number }>`
    select coalesce(max(id), 0) as id from amo_escrow_changes
  `.execute(db)
  return Number(rows[0]?.id ?? 0)
}

/**
 * Returns whether the escrow may lack the new images of rows that were re-sealed.
 *
 * @param upTo The newest change after this process re-sealed.
 */
export async function isEscrowBehind(db: Kysely<Tables>, upTo: number): Promise<boolean> {
  const { rows } = await sql`
    select from amo_escrow_changes
    where id <= ${upTo} or "changedAt" < clock_timestamp() - ${BEHIND_SECONDS} * interval '1 second'
    limit 1
  `.execute(db)
  return rows.length > 0
}

/** Returns the keys that the escrow is sealed under. A new snapshot replaces an old key. */
export async function findEscrowKeys(db: Kysely<Tables>): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select unnest("keyIds") as id from amo_escrow where "isOn"
  `.execute(db)
  return rows.map(({ id }) => id)
}
