import { type Kysely, sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'

/** Longer than one batch takes, so that a replica that died is replaced soon. */
const LEASE_SECONDS = 30

/** Switches the recording of changes on. */
export async function switchOn(db: Kysely<Tables>): Promise<void> {
  await sql`update amo_escrow set "isOn" = true where not "isOn"`.execute(db)
}

/**
 * Switches the recording of changes off and forgets what was recorded. When it is switched on
 * again, a new snapshot begins.
 */
export async function switchOff(trx: Transaction<Tables>): Promise<void> {
  await sql`
    update amo_escrow set "isOn" = false, "snapshotSegment" = 0, "pendingSegment" = 0,
      owner = null, "leaseUntil" = null
  `.execute(trx)
  await sql`delete from amo_escrow_changes`.execute(trx)
}

/** Takes or renews the right to append. Returns false while another replica has it. */
export async function takeLease(db: Kysely<Tables>, owner: string): Promise<boolean> {
  const { rows } = await sql`
    update amo_escrow set owner = ${owner},
      "leaseUntil" = clock_timestamp() + ${LEASE_SECONDS} * interval '1 second'
    where "isOn" and (owner = ${owner} or "leaseUntil" is null or "leaseUntil" < clock_timestamp())
    returning true
  `.execute(db)
  return rows.length > 0
}

/** Gives up the right to append. */
export async function endLease(db: Kysely<Tables>, owner: string): Promise<void> {
  await sql`update amo_escrow set "leaseUntil" = null where owner = ${owner}`.execute(db)
}

/** The escrow as the database knows it. */
export interface EscrowState {
  isOn: boolean
  writtenSegment: number
  snapshotSegment: number
  /** The snapshot that is being written; 0: none. */
  pendingSegment: number
  lines: number
  snapshotLines: number
  keyIds: string[]
}

export async function getEscrowState(db: Kysely<Tables>): Promise<EscrowState> {
  const { rows } = await sql<EscrowState>`
    select "isOn", "writtenSegment", "snapshotSegment", "pendingSegment", lines, "snapshotLines", "keyIds"
    from amo_escrow
  `.execute(db)
  const [state] = rows
  if (state === undefined) throw new Error('amo_escrow is empty')
  return state
}

/**
 * Opens the next segment.
 * @param existing The greatest number in the place, which a restored database does not know.
 * @param keyId The key that the segment is sealed under.
 */
export async function openSegment(
  db: Kysely<Tables>,
  existing: number,
  keyId: string,
): Promise<number> {
  const { rows } = await sql<{ segment: number }>`
    update amo_escrow set segment = greatest(segment, ${existing}::bigint) + 1,
      "keyIds" = array(select distinct unnest("keyIds" || ${keyId}::text) order by 1),
      "pendingKeyIds" = array(select distinct unnest("pendingKeyIds" || ${keyId}::text) order by 1)
    returning segment
  `.execute(db)
  return Number(rows[0]?.segment)
}

/** Counts lines that were appended to a segment. */
export async function countLines(
  db: Kysely<Tables>,
  segment: number,
  lines: number,
): Promise<void> {
  await sql`
    update amo_escrow set lines = lines + ${lines}, "writtenSegment" = ${segment}::bigint,
      "appendedAt" = clock_timestamp()
  `.execute(db)
}

/**
 * Records every row as changed, so that the segments from this one on are a complete escrow. Needs
 * a connection without time limits.
 *
 * @param keyId The key that the segment is sealed under.
 */
export async function beginSnapshot(
  db: Kysely<Tables>,
  segment: number,
  keyId: string,
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await sql`select amo_escrow_snapshot(${segment}::bigint)`.execute(trx)
    await sql`
      update amo_escrow set lines = 0, "pendingSegment" = ${segment}::bigint,
        "pendingKeyIds" = array[${keyId}::text]
    `.execute(trx)
  })
}

/** Records that the snapshot is complete. The keys of the segments before it are not needed. */
export async function endSnapshot(db: Kysely<Tables>, segment: number): Promise<void> {
  await sql`
    update amo_escrow set "snapshotSegment" = ${segment}::bigint, "pendingSegment" = 0,
      "snapshotLines" = lines, "keyIds" = "pendingKeyIds"
    where "pendingSegment" = ${segment}::bigint
  `.execute(db)
}
