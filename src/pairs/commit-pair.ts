import { sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { failpoint } from '../lib/failpoint.ts'
import type { CommitContext } from './commit-context.ts'
import { finishCommitted, isOwnedByAdopter, parkInAttempt, wasCommitted } from './pair-attempt.ts'
import { lockDisplaced, parkPair } from './park.ts'
import { putPairIntoRow } from './put-pair-into-row.ts'
import type { ReceivedPair } from './received-pair.ts'
import { wasRemoved } from './was-removed.ts'

/**
 * `already`: the row has this pair; the acknowledgement of its commit was lost. `replaced`: it was
 * committed before, and a newer pair has followed. `parked`: the row has another pair. `foreign`:
 * the access token names another account, so that nobody may get it; the pair is parked and the
 * claim stays unresolved. `not_ours`: a parked pair was to be adopted under a claim that has
 * another owner by now. `removed`: an operator has removed the account; the pair is dropped.
 */
export type CommitResult =
  | { result: 'committed'; generation: number }
  | { result: 'already' | 'replaced' | 'parked' | 'foreign' | 'not_ours' | 'removed' }

/**
 * Puts a received pair into the account's row, in one transaction. Only the fence decides: not the
 * owner of the claim, nor whether the attempt is finished (R4). An account that is
 * `reauth_required` is revived (R6). A pair that does not fit is parked, sealed, in the ledger:
 * none is thrown away (R12). Throws when the database fails. To call it again is always safe.
 */
export function commitPair(
  commitContext: CommitContext,
  received: ReceivedPair,
): Promise<CommitResult> {
  return commitContext.claims.transaction().execute(async (trx) => {
    await sql`select set_config('synchronous_commit', 'on', true)`.execute(trx)
    const result = await commitOrPark(commitContext, trx, received)
    failpoint('commit_prepared', received)
    return result
  })
}

async function commitOrPark(
  commitContext: CommitContext,
  trx: Transaction<Tables>,
  received: ReceivedPair,
): Promise<CommitResult> {
  const { keyRing } = commitContext
  const { claims, refreshToken } = received.pair
  if (claims !== undefined && claims.accountId !== received.accountId) {
    if (await wasRemoved(trx, received)) return { result: 'removed' }
    await parkInAttempt(commitContext, trx, received, { isFinished: false })
    return { result: 'foreign' }
  }
  const fingerprint = commitContext.fingerprints.of(refreshToken)
  const isAdopted = received.adoptedBy !== undefined
  const displaced = isAdopted ? await lockDisplaced(keyRing, trx, received) : undefined
  if (isAdopted && !(await isOwnedByAdopter(trx, received))) return { result: 'not_ours' }
  const generation = await putPairIntoRow(commitContext, trx, received, fingerprint)
  if (generation !== undefined) {
    // A probe called the displaced pair dead, and probes have been wrong before.
    if (displaced !== undefined) await parkPair(trx, displaced)
    await finishCommitted(commitContext, trx, received, fingerprint)
    return { result: 'committed', generation }
  }
  const row = await trx
    .selectFrom('amo_tokens')
    .select('refreshTokenFingerprint')
    .where('integration', '=', received.integration)
    .where('accountId', '=', received.accountId)
    .executeTakeFirst()
  if (row?.refreshTokenFingerprint === fingerprint) {
    await finishCommitted(commitContext, trx, received, fingerprint)
    return { result: 'already' }
  }
  if (await wasRemoved(trx, received)) return { result: 'removed' }
  if (await wasCommitted(trx, received, fingerprint)) return { result: 'replaced' }
  await parkInAttempt(commitContext, trx, received, { isFinished: true })
  return { result: 'parked' }
}
