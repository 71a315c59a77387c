import { type Kysely, sql } from 'kysely'
import type { Tables } from '../../src/db/tables.ts'
import { pairFromJson } from '../../src/pairs/received-pair.ts'
import { tokenId } from '../../src/sandbox/tokens.ts'
import type { KeyRing } from '../../src/vault/key-ring.ts'
import { parkedAt, tokenAt } from '../../src/vault/sealed-places.ts'

/** The refresh tokens that the database holds for an account, by the ids that the sandbox uses. */
export interface Holding {
  account: number
  status: string
  lastErrorCode: string | null
  generation: number
  current: string
  parked: string[]
}

/** Reads and decrypts the pairs of every account that has a row. */
export async function readHoldings(
  db: Kysely<Tables>,
  keyRing: KeyRing,
  account?: number,
): Promise<Holding[]> {
  const rows = await db
    .selectFrom('amo_tokens')
    .select(['integration', 'accountId', 'generation', 'status', 'lastErrorCode', 'refreshToken'])
    .where(sql<boolean>`(${account ?? null}::bigint is null or "accountId" = ${account ?? null})`)
    .execute()
  const parked = await readParked(db, keyRing, account)
  return rows.map((row) => ({
    account: row.accountId,
    status: row.status,
    lastErrorCode: row.lastErrorCode,
    generation: row.generation,
    current: tokenId(keyRing.open(row.refreshToken ?? '', tokenAt(row, 'refreshToken')).reveal()),
    parked: parked.filter((each) => each.account === row.accountId).map(({ id }) => id),
  }))
}

/** Reads and decrypts every pair that is parked in `amo_refresh_attempts`. */
export async function readParked(
  db: Kysely<Tables>,
  keyRing: KeyRing,
  account?: number,
): Promise<{ account: number; id: string }[]> {
  const rows = await db
    .selectFrom('amo_refresh_attempts')
    .select(['integration', 'accountId', 'generation', 'parkedPair'])
    .where('parkedPair', 'is not', null)
    .where(sql<boolean>`(${account ?? null}::bigint is null or "accountId" = ${account ?? null})`)
    .execute()
  return rows.map((row) => {
    const pair = pairFromJson(keyRing.open(row.parkedPair ?? '', parkedAt(row)).reveal())
    return { account: row.accountId, id: tokenId(pair.refreshToken.reveal()) }
  })
}
