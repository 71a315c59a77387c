import { type RawBuilder, sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { parkedAt } from '../vault/sealed-places.ts'
import { addStep } from './attempt-step.ts'
import type { CommitContext } from './commit-context.ts'
import { isParked, parkPair } from './park.ts'
import { pairToJson, type ReceivedPair } from './received-pair.ts'

/**
 * Finishes the attempt of a committed pair, also one that was finished differently meanwhile: now
 * its outcome is known.
 */
export async function finishCommitted(
  { owner }: CommitContext,
  trx: Transaction<Tables>,
  received: ReceivedPair,
  fingerprint: string,
): Promise<void> {
  await sql`
    update amo_refresh_attempts
    set outcome = 'committed', "outcomeCode" = null, "committedFingerprint" = ${fingerprint},
      ${addStep('committed', owner, received.adoptedBy && 'adopted')},
      "finishedAt" = coalesce("finishedAt", clock_timestamp())
    where ${isAttemptOf(received)}
  `.execute(trx)
}

/**
 * Locks the attempt, and returns whether its owner is still the one that wants to adopt the pair
 * (R5).
 */
export async function isOwnedByAdopter(
  trx: Transaction<Tables>,
  { attemptId, adoptedBy }: ReceivedPair,
): Promise<boolean> {
  const { rows } = await sql`
    select from amo_refresh_attempts
    where id = ${attemptId} and "finishedAt" is null
      and owner = ${adoptedBy?.owner ?? ''} and "sendCount" = ${adoptedBy?.sendCount ?? 0}
    for update
  `.execute(trx)
  return rows.length > 0
}

/**
 * Returns whether this very pair was committed before, and has been replaced by a newer one since
 * (R9).
 */
export async function wasCommitted(
  trx: Transaction<Tables>,
  received: ReceivedPair,
  fingerprint: string,
): Promise<boolean> {
  const { rows } = await sql`
    select from amo_refresh_attempts
    where ${isAttemptOf(received)} and "committedFingerprint" = ${fingerprint}
  `.execute(trx)
  return rows.length > 0
}

/**
 * Parks the pair in its own attempt, or in a row of its own when the attempt has another pair or is
 * missing (R12).
 */
export async function parkInAttempt(
  { keyRing, owner }: CommitContext,
  trx: Transaction<Tables>,
  received: ReceivedPair,
  { isFinished }: { isFinished: boolean },
): Promise<void> {
  const sealed = keyRing.seal(pairToJson(received.pair), parkedAt(received))
  const finish = isFinished
    ? sql`, outcome = 'superseded', "finishedAt" = coalesce("finishedAt", clock_timestamp())`
    : sql``
  const { rows } = await sql`
    update amo_refresh_attempts set "parkedPair" = ${sealed}, ${addStep('parked', owner)} ${finish}
    where ${isAttemptOf(received)} and "parkedPair" is null and "committedFingerprint" is null
    returning id
  `.execute(trx)
  // An unfinished attempt has the pair from an earlier try. If it has not, the journal still has
  // the response.
  if (rows.length > 0 || !isFinished || (await isParked(keyRing, trx, received))) return
  await parkPair(trx, { ...received, sealed })
}

/**
 * Matches the attempt by its whole fence: a database that lost its newest rows uses their ids
 * again.
 */
function isAttemptOf(received: ReceivedPair): RawBuilder<boolean> {
  return sql`id = ${received.attemptId} and integration = ${received.integration}
    and "accountId" = ${received.accountId} and generation = ${received.generation}
    and "refreshTokenFingerprint" = ${received.fingerprint}`
}
