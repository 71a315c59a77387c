import { sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { AccountKey } from '../lib/account-key.ts'
import { KeyMissing, SealBroken } from '../lib/errors.ts'
import type { KeyRing, SealedAt } from '../vault/key-ring.ts'
import { parkedAt, tokenAt } from '../vault/sealed-places.ts'
import type { Secret } from '../vault/secret.ts'
import type { Fence } from './fence.ts'
import { pairFromJson, pairToJson, type ReceivedPair } from './received-pair.ts'

/** A pair to be parked, sealed at `parkedAt`, under the fence that it may be committed under. */
interface PairToPark extends Fence {
  sealed: string
}

/** Parks a pair that no attempt of the ledger has. */
export async function parkPair(
  trx: Transaction<Tables>,
  { integration, accountId, generation, fingerprint, sealed }: PairToPark,
): Promise<void> {
  const now = sql<Date>`clock_timestamp()`
  await trx
    .insertInto('amo_refresh_attempts')
    .values({
      integration,
      accountId,
      generation,
      refreshTokenFingerprint: fingerprint,
      owner: 'parked',
      leaseUntil: now,
      finishedAt: now,
      outcome: 'superseded',
      parkedPair: sealed,
    })
    .execute()
}

/**
 * Returns whether the ledger has this very pair: it is parked once, however often its commit is
 * repeated.
 */
export async function isParked(
  keyRing: KeyRing,
  trx: Transaction<Tables>,
  { integration, accountId, generation, fingerprint, pair }: ReceivedPair,
): Promise<boolean> {
  const rows = await trx
    .selectFrom('amo_refresh_attempts')
    .select('parkedPair')
    .where('integration', '=', integration)
    .where('accountId', '=', accountId)
    .where('generation', '=', generation)
    .where('refreshTokenFingerprint', '=', fingerprint)
    .where('parkedPair', 'is not', null)
    .execute()
  const at = parkedAt({ integration, accountId, generation })
  return rows.some(({ parkedPair }) => {
    const parked = parkedPair && openIfReadable(keyRing, parkedPair, at)
    return (
      parked && pairFromJson(parked.reveal()).refreshToken.reveal() === pair.refreshToken.reveal()
    )
  })
}

function openIfReadable(keyRing: KeyRing, sealed: string, at: SealedAt): Secret | undefined {
  try {
    return keyRing.open(sealed, at)
  } catch (error) {
    if (error instanceof KeyMissing || error instanceof SealBroken) return undefined
    throw error
  }
}

/**
 * Locks the account's row and reads the pair that is about to be replaced by one that did not come
 * of it: it may still be alive.
 * @returns undefined when there is none, or it cannot be opened. After the loss of a key, a new
 *   consent must still be possible.
 */
export async function lockDisplaced(
  keyRing: KeyRing,
  trx: Transaction<Tables>,
  { integration, accountId }: AccountKey,
): Promise<PairToPark | undefined> {
  const row = await trx
    .selectFrom('amo_tokens')
    .selectAll()
    .where('integration', '=', integration)
    .where('accountId', '=', accountId)
    .forNoKeyUpdate()
    .executeTakeFirst()
  if (row === undefined || row.refreshToken === null || row.refreshTokenFingerprint === null) {
    return undefined
  }
  const at = { integration, accountId, generation: row.generation }
  const accessToken = openIfReadable(keyRing, row.accessToken, tokenAt(at, 'accessToken'))
  const refreshToken = openIfReadable(keyRing, row.refreshToken, tokenAt(at, 'refreshToken'))
  if (accessToken === undefined || refreshToken === undefined) return undefined
  const lifetimeSeconds = Math.round((row.expiresAt.getTime() - row.issuedAt.getTime()) / 1000)
  const text = pairToJson({ accessToken, refreshToken, lifetimeSeconds })
  return {
    ...at,
    fingerprint: row.refreshTokenFingerprint,
    sealed: keyRing.seal(text, parkedAt(at)),
  }
}
