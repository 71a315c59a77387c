import { sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { TokenPair } from '../provider/token-endpoint.ts'
import { parkedAt, tokenAt } from '../vault/sealed-places.ts'
import type { CommitContext } from './commit-context.ts'
import { nextGeneration } from './fence.ts'
import { lockDisplaced, parkPair } from './park.ts'
import { planRefresh } from './plan.ts'
import { pairToJson } from './received-pair.ts'
import { releaseDomain } from './release-domain.ts'

/** A pair that a consent brought, with the account that the provider confirmed. */
export interface Onboarded {
  integration: string
  accountId: number
  domain: string
  apiDomain: string | null
  pair: TokenPair
  issuedAt: Date
  /** PostgreSQL's time when the code was sent, milliseconds since 1970. */
  sentAtMs: number
  /**
   * Whether somebody asked for the account. A new account that nobody asked for awaits approval.
   */
  isExpected: boolean
}

export type Stored = 'connected' | 'pending' | 'superseded'

/**
 * Creates the account's row, or replaces its pair by this newer one, whatever the row's status. Two
 * consents for one account are ordered by when the provider issued them, and the older pair is
 * parked. The fence refuses a refresh of the replaced pair that is in progress.
 * @returns `superseded` when this pair was the older one.
 */
export async function storeOnboarded(
  commitContext: CommitContext,
  trx: Transaction<Tables>,
  account: Onboarded,
): Promise<Stored> {
  const { integration, accountId, domain, pair, isExpected } = account
  const generation = await nextGeneration(trx)
  await releaseDomain(trx, account)
  const displaced = await lockDisplaced(commitContext.keyRing, trx, account)
  const at = { integration, accountId, generation }
  const plan = planRefresh(account.sentAtMs, pair.lifetimeSeconds, commitContext.clock.random())
  const fields = {
    domain,
    apiDomain: account.apiDomain,
    kind: 'oauth' as const,
    accessToken: commitContext.keyRing.seal(pair.accessToken, tokenAt(at, 'accessToken')),
    refreshToken: commitContext.keyRing.seal(pair.refreshToken, tokenAt(at, 'refreshToken')),
    refreshTokenFingerprint: commitContext.fingerprints.of(pair.refreshToken),
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
    isRestored: false,
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
        // The later of two consents stays, whichever is stored first.
        .where('amo_tokens.issuedAt', '<=', account.issuedAt),
    )
    .returning('status')
    .executeTakeFirst()
  if (stored !== undefined) {
    if (displaced !== undefined) await parkPair(trx, displaced)
    return stored.status === 'pending' ? 'pending' : 'connected'
  }
  const sealed = commitContext.keyRing.seal(pairToJson(pair), parkedAt(at))
  await parkPair(trx, { ...at, fingerprint: fields.refreshTokenFingerprint, sealed })
  return 'superseded'
}

const approved = { status: 'active' as const, approvedAt: sql<Date>`clock_timestamp()` }
/** An account that was approved once does not need to be approved again. */
const asBefore = {
  status: sql<
    'pending' | 'active'
  >`case when amo_tokens."approvedAt" is null then 'pending' else 'active' end`,
}
