import type { Transaction } from 'kysely'
import { sql } from 'kysely'
import { type AccountKey, keyText } from '../accounts/account-key.ts'
import { tokenAt } from '../accounts/sealed-tokens.ts'
import type { Tables } from '../db/tables.ts'
import { KeyMissing, SealBroken } from '../errors.ts'
import type { KeyRing, SealedAt } from '../vault/key-ring.ts'
import type { Secret } from '../vault/secret.ts'
import { type Answer, pairFromJson, pairToJson } from './answer.ts'

type Place = AccountKey & { generation: number }

/** A pair that is to be parked: the fence of the row that it was in, and the pair sealed for the ledger. */
export type Displaced = [at: Place, fingerprint: string, sealed: string]

/** The sealed place of a parked pair. */
export function parkedAt({ integration, accountId, generation }: Place) {
  return {
    table: 'amo_refresh_attempts',
    row: keyText({ integration, accountId }),
    column: 'parkedPair',
    generation,
  }
}

/** A pair that no attempt of the ledger belongs to, sealed at `parkedAt`. */
export async function parkPair(
  trx: Transaction<Tables>,
  at: Place,
  fingerprint: string,
  sealed: string,
): Promise<void> {
  const now = sql<Date>`clock_timestamp()`
  await trx
    .insertInto('amo_refresh_attempts')
    .values({
      integration: at.integration,
      accountId: at.accountId,
      generation: at.generation,
      refreshTokenFingerprint: fingerprint,
      owner: 'parked',
      leaseUntil: now,
      finishedAt: now,
      outcome: 'superseded',
      parkedPair: sealed,
    })
    .execute()
}

/** Whether the ledger has this very pair already: parked once, however often its commit is tried again. */
export async function isParked(
  keyRing: KeyRing,
  trx: Transaction<Tables>,
  { integration, accountId, generation, fingerprint, pair }: Answer,
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
    const parked = parkedPair && openOrNone(keyRing, parkedPair, at)
    return (
      parked && pairFromJson(parked.reveal()).refreshToken.reveal() === pair.refreshToken.reveal()
    )
  })
}

function openOrNone(keyRing: KeyRing, sealed: string, at: SealedAt): Secret | undefined {
  try {
    return keyRing.open(sealed, at)
  } catch (error) {
    if (error instanceof KeyMissing || error instanceof SealBroken) return undefined
    throw error
  }
}

/**
 * Locks the account's row and reads the pair that it has now, for whoever replaces it by one that did not come of it: it may
 * still live. None when it cannot be opened: consenting again is what helps after a key was lost.
 */
export async function lockDisplaced(
  keyRing: KeyRing,
  trx: Transaction<Tables>,
  { integration, accountId }: AccountKey,
): Promise<Displaced | undefined> {
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
  try {
    const pair = {
      accessToken: keyRing.open(row.accessToken, tokenAt(at, 'accessToken')),
      refreshToken: keyRing.open(row.refreshToken, tokenAt(at, 'refreshToken')),
      lifetimeSeconds: Math.round((row.expiresAt.getTime() - row.issuedAt.getTime()) / 1000),
    }
    return [at, row.refreshTokenFingerprint, keyRing.seal(pairToJson(pair), parkedAt(at))]
  } catch (error) {
    if (error instanceof KeyMissing || error instanceof SealBroken) return undefined
    throw error
  }
}
