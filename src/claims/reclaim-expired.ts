import { sql } from 'kysely'
import { addStep } from '../pairs/attempt-step.ts'
import type { Claim } from './claim.ts'
import type { ClaimContext } from './claim-context.ts'
import {
  isBoundHere,
  isIntegrationRunning,
  isReadable,
  leaseUntil,
  syncCommit,
} from './conditions.ts'
import { finishSuperseded } from './finish-superseded.ts'
import { finishUnsent } from './finish-unsent.ts'
import { leaseMs } from './lease.ts'

/**
 * Reclaims attempts of any replica whose token was sent and whose lease and settle time are over,
 * with the token of the locked row. The row must still have the pair of the attempt: otherwise the
 * token of a newer pair would be sent under a fence that refuses what comes back (R3). Other
 * expired attempts are finished first: nothing is sent for them. While the integration is paused or
 * halted, the attempt keeps the account and waits.
 */
export async function reclaimExpired(claimContext: ClaimContext, limit: number): Promise<Claim[]> {
  if (claimContext.hasGap()) return []
  await finishSuperseded(claimContext)
  await finishUnsent(claimContext)
  const lease = leaseMs(claimContext)
  const isSettled = sql`a."sendCount" > 0
    and a."leaseUntil" < clock_timestamp() - ${claimContext.limits.settleMs} * interval '1 millisecond'`
  const askedAtMs = claimContext.clock.nowMs()
  const { rows } = await sql<Omit<Claim, 'leaseEndsAtMs'>>`
    with expired as materialized (
      select a.id as "attemptId", t.integration, t."accountId", t.generation, t."refreshTokenFingerprint" as fingerprint,
        t."refreshToken", t.domain, t."apiDomain", t."isRestored", ${syncCommit}
      from amo_tokens t join amo_refresh_attempts a on a.integration = t.integration
        and a."accountId" = t."accountId" and a.generation = t.generation
        and a."refreshTokenFingerprint" = t."refreshTokenFingerprint"
      where a."finishedAt" is null and ${isSettled}
        and ${isReadable(claimContext)} and ${isIntegrationRunning}
        and ${isBoundHere(claimContext)}
      order by a."leaseUntil" limit ${limit}
      for no key update of t skip locked
    ), reclaimed as (
      update amo_refresh_attempts a
      set owner = ${claimContext.owner}, purpose = 'refresh', "leaseUntil" = ${leaseUntil(lease)},
        ${addStep('reclaimed', claimContext.owner)}
      from expired where a.id = expired."attemptId" and a."finishedAt" is null and ${isSettled}
      returning a.id as "attemptId", a."sendCount", a."outcomeCode" as "unresolvedAs"
    )
    select expired.*, reclaimed."sendCount", reclaimed."unresolvedAs", false as "isCanary"
    from reclaimed join expired using ("attemptId")
  `.execute(claimContext.claims)
  const leaseEndsAtMs = askedAtMs + lease
  return rows.map((row) => ({ ...row, leaseEndsAtMs }))
}
