import { sql } from 'kysely'
import { logFields } from '../claims/claim.ts'
import { isBoundHere } from '../claims/conditions.ts'
import { commitPair } from '../pairs/commit-pair.ts'
import type { RefreshContext } from './context.ts'
import { forgetParked, isInRow, openParked, type ParkedRow, receivedOf } from './parked-pair.ts'

const BATCH = 50

interface FittingRow extends ParkedRow {
  fingerprint: string
}

/**
 * Commits the parked pairs that fit again: after a failover the database is back at the token that
 * they came of (T11), perhaps under another generation (T12).
 */
export async function commitParked(context: RefreshContext): Promise<void> {
  const { claimContext, commitContext, process } = context
  const { rows } = await sql<FittingRow>`
    select a.id, a.integration, a."accountId", a.generation, a."refreshTokenFingerprint" as fingerprint,
      a."parkedPair", a."claimedAt"
    from amo_refresh_attempts a join amo_tokens t on t.integration = a.integration
      and t."accountId" = a."accountId"
      and t."refreshTokenFingerprint" = a."refreshTokenFingerprint"
    where a."parkedPair" is not null and t.status <> 'disconnected' and not t.shadow
      and ${isBoundHere(claimContext)}
    order by a.id limit ${BATCH}
  `.execute(commitContext.claims)
  for (const row of rows) {
    const fence = { ...row, attemptId: row.id }
    const received = receivedOf(fence, row, openParked(context, row))
    const { result } = await commitPair(commitContext, received)
    if (!isInRow(result)) continue
    await forgetParked(context, row)
    process.log.error({ ...logFields(row), result }, 'parked token pair fits again')
  }
}
