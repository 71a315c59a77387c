import { sql } from 'kysely'
import type { AccountKey } from '../lib/account-key.ts'
import type { CommitResult } from '../pairs/commit-pair.ts'
import { pairFromJson, type ReceivedPair } from '../pairs/received-pair.ts'
import type { TokenPair } from '../provider/token-endpoint.ts'
import { parkedAt } from '../vault/sealed-places.ts'
import type { RefreshContext } from './context.ts'

/** A row of the ledger with a parked pair. */
export interface ParkedRow extends AccountKey {
  id: number
  generation: number
  parkedPair: string
  claimedAt: Date
}

/** Opens a parked pair. Throws `KeyMissing`, `SealBroken`. */
export function openParked({ commitContext }: RefreshContext, row: ParkedRow): TokenPair {
  return pairFromJson(commitContext.keyRing.open(row.parkedPair, parkedAt(row)).reveal())
}

/** Returns the pair to be committed under this fence. */
export function receivedOf(
  fence: Omit<ReceivedPair, 'pair' | 'sentAtMs'>,
  { claimedAt }: ParkedRow,
  pair: TokenPair,
): ReceivedPair {
  const { integration, accountId, attemptId, generation, fingerprint } = fence
  // The ledger does not have the time of the send, but the token has the time when it was issued.
  const sentAtMs = (pair.claims?.issuedAtSeconds ?? claimedAt.getTime() / 1000) * 1000
  return { integration, accountId, attemptId, generation, fingerprint, pair, sentAtMs }
}

/** Returns whether the account's row has the pair now, or has had it. Otherwise it stays parked. */
export function isInRow(result: CommitResult['result']): boolean {
  return result === 'committed' || result === 'already' || result === 'replaced'
}

/** Removes a parked pair that is in the account's row. */
export async function forgetParked(
  { commitContext }: RefreshContext,
  { id }: ParkedRow,
): Promise<void> {
  await sql`update amo_refresh_attempts set "parkedPair" = null where id = ${id}`.execute(
    commitContext.claims,
  )
}
