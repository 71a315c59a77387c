import type { Transaction } from 'kysely'
import type { AccountKey } from '../accounts/account-key.ts'
import { tokenAt } from '../accounts/sealed-tokens.ts'
import type { Tables } from '../db/tables.ts'
import { KeyMissing, SealBroken } from '../errors.ts'
import { pairToJson } from './answer.ts'
import { type Committer, parkedAt } from './commit.ts'

/** What `parkPair` takes. */
export type Displaced = [
  at: AccountKey & { generation: number },
  fingerprint: string,
  sealed: string,
]

/**
 * Locks the account's row, and seals the pair that it has now for the ledger: another one is to take its place, and it may
 * still live. None when there is none, or it cannot be opened: consenting again is what helps after a key was lost.
 */
export async function sealDisplaced(
  { keyRing }: Committer,
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
