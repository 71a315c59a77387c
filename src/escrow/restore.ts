import { type Kysely, sql } from 'kysely'
import { signBreak } from '../audit/break.ts'
import type { Tables } from '../db/tables.ts'
import { skipPositions } from '../events/store.ts'
import { raiseGenerations } from '../pairs/fence.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import { type Applied, applyImages } from './apply-images.ts'
import { switchOff } from './lease.ts'
import type { EscrowPlace } from './place.ts'
import { type EscrowContent, loadEscrow } from './read-escrow.ts'

interface RestoreDependencies {
  keyRing: KeyRing
  deploymentId: string
  /** Signs the record of the break in the audit. */
  auditHash: KeyedHash
  place: EscrowPlace
}

export interface Restored {
  content: EscrowContent
  applied: Applied
}

/**
 * Brings a database that was restored from a backup to the newest rows of the escrow. Everything
 * happens in one transaction; with `isDryRun` it is rolled back. No broker may work on the database
 * meanwhile. Sends nothing: each pair is probed before its first send. Throws `ForeignEscrow`.
 */
export function restore(
  db: Kysely<Tables>,
  dependencies: RestoreDependencies,
  { isDryRun, onLine }: { isDryRun: boolean; onLine?: (lines: number) => void },
): Promise<Restored> {
  // The temporary table belongs to one connection.
  return db.connection().execute(async (connection) => {
    try {
      const content = await loadEscrow(connection, dependencies.place, dependencies, onLine)
      const applied = await apply(connection, dependencies, content, isDryRun)
      return { content, applied }
    } finally {
      await sql`drop table if exists escrow_images`.execute(connection)
    }
  })
}

async function apply(
  connection: Kysely<Tables>,
  { auditHash }: RestoreDependencies,
  content: EscrowContent,
  isDryRun: boolean,
): Promise<Applied> {
  let applied: Applied | undefined
  try {
    await connection.transaction().execute(async (trx) => {
      applied = await applyImages(trx, content)
      await endSessions(trx)
      const known = await findGreatestGeneration(trx)
      await raiseGenerations(trx, known, { isCertain: true })
      // Readers of events know positions that the backup lacks.
      await skipPositions(trx)
      await switchOff(trx)
      await signBreak(trx, auditHash, { ...applied })
      if (isDryRun) throw new DryRun()
    })
  } catch (error) {
    if (!(error instanceof DryRun)) throw error
  }
  if (applied === undefined) throw new Error('nothing was applied')
  return applied
}

/** Rolls the transaction back. */
class DryRun extends Error {}

/** People sign in again: nobody knows which sessions were ended since the backup. */
async function endSessions(trx: Kysely<Tables>): Promise<void> {
  const { rows } = await sql<{ found: boolean }>`
    select to_regclass('amo_sessions') is not null as found
  `.execute(trx)
  if (rows[0]?.found) await sql`delete from amo_sessions`.execute(trx)
}

async function findGreatestGeneration(trx: Kysely<Tables>): Promise<number> {
  const { rows } = await sql<{ generation: number }>`
    select coalesce(max((row->>'generation')::bigint), 0) as generation
    from escrow_images where relation in ('amo_tokens', 'amo_removals') and row is not null
  `.execute(trx)
  return Number(rows[0]?.generation ?? 0)
}
