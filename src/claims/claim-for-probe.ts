import { sql } from 'kysely'
import type { AccountKey } from '../lib/account-key.ts'
import { firstStep } from '../pairs/attempt-step.ts'
import type { Claim } from './claim.ts'
import type { ClaimContext } from './claim-context.ts'
import { isBoundHere, isReadable, isUnclaimed, leaseUntil, syncCommit } from './conditions.ts'
import { leaseMs } from './lease.ts'

/**
 * Claims one account in order to probe it, whether it is due or not and also when it is
 * `reauth_required`. No refresh runs at the same time, so the result is about the pair that the
 * claim names. Nothing may be sent under this claim. `isAnyDeployment` also probes a copy of a
 * database.
 * @returns undefined when the account is missing or claimed, or has no refresh token that can be
 *   opened here.
 */
export async function claimForProbe(
  claimContext: ClaimContext,
  key: AccountKey,
  { isAnyDeployment = false } = {},
): Promise<Claim | undefined> {
  const lease = leaseMs(claimContext)
  const askedAtMs = claimContext.clock.nowMs()
  const { rows } = await sql<Omit<Claim, 'leaseEndsAtMs'>>`
    with target as materialized (
      select t.integration, t."accountId", t.generation, t."refreshTokenFingerprint" as fingerprint, t."refreshToken",
        t.domain, t."apiDomain", t."isRestored", ${syncCommit}
      from amo_tokens t
      where t.integration = ${key.integration} and t."accountId" = ${key.accountId}
        and t.status in ('active', 'pending', 'reauth_required') and t.kind = 'oauth'
        and ${isReadable(claimContext)}
        and (${isAnyDeployment}::boolean or ${isBoundHere(claimContext)})
        and ${isUnclaimed}
      for no key update of t
    ), claimed as (
      insert into amo_refresh_attempts
        (integration, "accountId", generation, "refreshTokenFingerprint", owner, "leaseUntil", purpose, steps)
      select integration, "accountId", generation, fingerprint, ${claimContext.owner},
        ${leaseUntil(lease)}, 'verdict', ${firstStep('claimed', claimContext.owner, 'verdict')}
      from target
      on conflict (integration, "accountId") where "finishedAt" is null do nothing
      returning id, "accountId"
    )
    select target.*, claimed.id as "attemptId", 0 as "sendCount", false as "isCanary"
    from target join claimed using ("accountId")
  `.execute(claimContext.claims)
  const [row] = rows
  return row && { ...row, leaseEndsAtMs: askedAtMs + lease }
}
