import { type RawBuilder, sql } from 'kysely'
import type { AccountStatus } from '../db/tables/accounts.ts'
import { addStep } from '../pairs/attempt-step.ts'
import type { FailureCode } from '../provider/failures.ts'
import type { Claim } from './claim.ts'
import type { ClaimContext } from './claim-context.ts'
import { syncCommit } from './conditions.ts'

interface ClaimedChange {
  /** Assignments to columns of the attempt. */
  attempt: RawBuilder<unknown>
  /** Assignments to columns of the account. */
  account: RawBuilder<unknown>
  /** An account with another status stays as it is. */
  statuses?: AccountStatus[]
}

/**
 * Changes attempt and account together, or neither, by the owner of the claim only, and fenced like
 * a commit. The attempt is changed before the account, so that the owner is checked as a reclaim
 * that commits meanwhile leaves it: an `exists` on the attempt would be checked against the older
 * snapshot. The account is locked before both, as everywhere.
 * @returns true when the account was changed.
 */
export async function updateClaimed(
  claimContext: ClaimContext,
  claim: Claim,
  { attempt, account, statuses = ['active', 'pending'] }: ClaimedChange,
): Promise<boolean> {
  const { rows } = await sql`
    with locked as materialized (
      select t.integration, t."accountId", ${syncCommit}
      from amo_tokens t
      where t.integration = ${claim.integration} and t."accountId" = ${claim.accountId}
        and t.generation = ${claim.generation} and t."refreshTokenFingerprint" = ${claim.fingerprint}
      for no key update of t
    ), changed as (
      update amo_refresh_attempts a set ${attempt}
      from locked
      where a.id = ${claim.attemptId} and a.owner = ${claimContext.owner} and a."finishedAt" is null
        and a."sendCount" = ${claim.sendCount}
        and a.integration = locked.integration and a."accountId" = locked."accountId"
      returning a.integration, a."accountId"
    )
    update amo_tokens t set ${account}, "updatedAt" = clock_timestamp()
    from changed
    where t.integration = changed.integration and t."accountId" = changed."accountId"
      and t.status = any(${statuses}::text[])
    returning t."accountId"
  `.execute(claimContext.claims)
  return rows.length === 1
}

/** Sets the failure that operators and callers see. */
export function lastError(code: FailureCode): RawBuilder<unknown> {
  return sql`"lastErrorCode" = ${code}, "lastErrorAt" = clock_timestamp()`
}

/** Finishes the attempt of a probe. `result` is what came of it. */
export function probeFinished(
  { owner }: ClaimContext,
  { probed }: Claim,
  result: string,
): RawBuilder<unknown> {
  return sql`"finishedAt" = clock_timestamp(), outcome = 'not_sent', "outcomeCode" = 'checked',
    ${addStep('finished', owner, result, probed)}`
}
