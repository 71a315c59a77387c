import { sql, type Transaction } from 'kysely'
import type { AccountKey } from '../accounts/account-key.ts'
import { tokenAt } from '../accounts/sealed-tokens.ts'
import type { Tables } from '../db/tables.ts'
import type { TokenPair } from '../provider/token-endpoint.ts'
import { pairToJson } from '../refresh/answer.ts'
import { type Committer, nextGeneration } from '../refresh/commit.ts'
import { lockDisplaced, parkedAt, parkPair } from '../refresh/parking.ts'
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
  /** Somebody asked for it. An account that is new and was not expected awaits approval. */
  isExpected: boolean
}

export type Stored = 'connected' | 'pending' | 'superseded'

/**
 * Makes the account's row, or replaces its pair by this newer one, whatever the row's state. Two consents for one account
 * are ordered by when the provider issued them; the pair that is not the newest is parked. A refresh that is under way for the
 * replaced pair is refused by the fence. `superseded`: parked.
 */
export async function storeOnboarded(
  committer: Committer,
  trx: Transaction<Tables>,
  account: Onboarded,
): Promise<Stored> {
  const { integration, accountId, domain, pair, isExpected } = account
  await takeNameOver(trx, account)
  const displaced = await lockDisplaced(committer.keyRing, trx, account)
  const generation = await nextGeneration(trx)
  const at = { integration, accountId, generation }
  const plan = planRefresh(account.sentAtMs, pair.lifetimeSeconds)
  const fields = {
    domain,
    apiDomain: account.apiDomain,
    kind: 'oauth' as const,
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
    .values({
      integration,
      accountId,
      status: isExpected ? 'active' : 'pending',
      approvedAt: isExpected ? now : null,
      ...fields,
    })
    .onConflict((conflict) =>
      conflict
        .columns(['integration', 'accountId'])
        .doUpdateSet({ ...fields, ...(isExpected ? approved : asBefore), updatedAt: now })
        // Of two consents the later one stays, whichever comes here first.
        .where('amo_tokens.issuedAt', '<=', account.issuedAt),
    )
    .returning('status')
    .executeTakeFirst()
  if (stored !== undefined) {
    if (displaced !== undefined) await parkPair(trx, ...displaced)
    return stored.status === 'pending' ? 'pending' : 'connected'
  }
  const sealed = committer.keyRing.seal(pairToJson(pair), parkedAt(at))
  await parkPair(trx, at, fields.refreshTokenFingerprint, sealed)
  return 'superseded'
}

const approved = { status: 'active' as const, approvedAt: sql<Date>`clock_timestamp()` }
/** What was approved once is connected again. */
const asBefore = {
  status: sql<
    'pending' | 'active'
  >`case when amo_tokens."approvedAt" is null then 'pending' else 'active' end`,
}

/** A name can change hands: the provider says whose it is now. */
export async function takeNameOver(
  trx: Transaction<Tables>,
  { integration, accountId, domain }: AccountKey & { domain: string },
): Promise<void> {
  await sql`
    update amo_tokens set domain = null, "updatedAt" = clock_timestamp()
    where integration = ${integration} and domain = ${domain} and "accountId" <> ${accountId}
  `.execute(trx)
}
