import { sql, type Transaction } from 'kysely'
import type { AccountKey } from '../accounts/account-key.ts'
import { tokenAt } from '../accounts/sealed-tokens.ts'
import type { Tables } from '../db/tables.ts'
import { KeyMissing, SealBroken } from '../errors.ts'
import type { TokenPair } from '../provider/token-endpoint.ts'
import { pairToJson } from '../refresh/answer.ts'
import { type Committer, nextGeneration, parkedAt, parkPair } from '../refresh/commit.ts'
import { planRefresh } from '../refresh/plan.ts'

/** A pair out of a consent, its account confirmed by the provider. */
export interface Onboarded {
  integration: string
  accountId: number
  domain: string
  apiDomain: string | null
  pair: TokenPair
  issuedAt: Date
  /** PostgreSQL's time when the code was sent, milliseconds since 1970. */
  sentAtMs: number
}

/**
 * Makes the account's row, or replaces its pair by this newer one, whatever the row's state. Two consents for one account
 * are ordered by when the provider issued them; the pair that is not the newest is parked. A refresh that is under way for the
 * replaced pair is refused by the fence. False: parked.
 */
export async function storeOnboarded(
  committer: Committer,
  trx: Transaction<Tables>,
  account: Onboarded,
): Promise<boolean> {
  const { integration, accountId, domain, pair } = account
  // A name can change hands: the provider says whose it is now.
  await sql`
    update amo_tokens set domain = null, "updatedAt" = clock_timestamp()
    where integration = ${integration} and domain = ${domain} and "accountId" <> ${accountId}
  `.execute(trx)
  const displaced = await findPair(committer, trx, account)
  const generation = await nextGeneration(trx)
  const at = { integration, accountId, generation }
  const plan = planRefresh(account.sentAtMs, pair.lifetimeSeconds)
  const fields = {
    domain,
    apiDomain: account.apiDomain,
    kind: 'oauth' as const,
    status: 'active' as const,
    accessToken: committer.keyRing.seal(pair.accessToken, tokenAt(at, 'accessToken')),
    refreshToken: committer.keyRing.seal(pair.refreshToken, tokenAt(at, 'refreshToken')),
    refreshTokenFingerprint: committer.fingerprints.of(pair.refreshToken),
    generation,
    issuedAt: account.issuedAt,
    expiresAt: plan.expiresAt,
    refreshAt: plan.refreshAt,
    nextAttemptAt: plan.refreshAt,
    refreshTokenExpiresAt: plan.refreshTokenExpiresAt,
    failedAttempts: 0,
    accessDeadAt: null,
    lastErrorCode: null,
    lastErrorAt: null,
    shadow: false,
  }
  const now = sql<Date>`clock_timestamp()`
  const stored = await trx
    .insertInto('amo_tokens')
    .values({ integration, accountId, approvedAt: now, ...fields })
    .onConflict((conflict) =>
      conflict
        .columns(['integration', 'accountId'])
        .doUpdateSet({ ...fields, approvedAt: now, updatedAt: now })
        // Of two consents the later one stays, whichever comes here first.
        .where('amo_tokens.issuedAt', '<=', account.issuedAt),
    )
    .returning('generation')
    .executeTakeFirst()
  if (stored !== undefined) {
    if (displaced !== undefined) await parkPair(trx, ...displaced)
    return true
  }
  const sealed = committer.keyRing.seal(pairToJson(pair), parkedAt(at))
  await parkPair(trx, at, fields.refreshTokenFingerprint, sealed)
  return false
}

type Parked = [at: AccountKey & { generation: number }, fingerprint: string, sealed: string]

/**
 * The pair that the row has now, sealed for the ledger: a newer consent replaces it, and it may still live. None when it
 * cannot be opened: consenting again is what helps after a key was lost.
 */
async function findPair(
  { keyRing }: Committer,
  trx: Transaction<Tables>,
  { integration, accountId }: AccountKey,
): Promise<Parked | undefined> {
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
