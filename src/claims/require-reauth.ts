import { type RawBuilder, sql } from 'kysely'
import { addStep } from '../pairs/attempt-step.ts'
import type { FailureCode } from '../provider/failures.ts'
import type { Claim } from './claim.ts'
import type { ClaimContext } from './claim-context.ts'
import { syncCommit } from './conditions.ts'
import { recheckAt } from './recheck-plan.ts'
import { lastError } from './update-claimed.ts'

/**
 * The mass guard (I10): at most this many accounts of an integration, or this share of them,
 * whichever is more, may become `reauth_required` within the window. A wrong backup, a wrong answer
 * of the provider or a bug of ours stops there.
 */
const MASS = { accounts: 3, share: 0.01, minutes: 10 }

/**
 * Sets the account to `reauth_required`: in one statement, fenced like a commit, and by the owner
 * of the claim only (R5). As in `updateClaimed`, each row is checked as it is once it is locked.
 * The integration's row counts for all replicas.
 * @returns false when the account stays as it is: the row has moved on, the claim is no longer
 *   owned here, or the integration is paused or halted, perhaps by this very call where it is one
 *   too many. In the last case the lease ends and the attempt stays unfinished; it is resolved once
 *   an operator has resumed the integration.
 */
export async function requireReauth(
  claimContext: ClaimContext,
  claim: Claim,
  code: FailureCode,
  outcome: 'refused' | 'lost',
): Promise<boolean> {
  const { rows } = await sql`
    with locked as materialized (
      select t.integration, t."accountId", t.status in ('active', 'pending') as "isServed", ${syncCommit}
      from amo_tokens t
      where t.integration = ${claim.integration} and t."accountId" = ${claim.accountId}
        and t.generation = ${claim.generation} and t."refreshTokenFingerprint" = ${claim.fingerprint}
        and exists (select from amo_refresh_attempts a where ${isOwned(claimContext, claim)})
      for no key update of t
    ), counted as (
      update amo_integrations i
      set "condemnedAt" = case when ${isFull} then ${recent} else ${recent} || clock_timestamp() end,
        state = case when ${isFull} then 'halted' else i.state end,
        "stateReason" = case when ${isFull} then ${haltReason(code)} else i."stateReason" end
      from locked where i.name = locked.integration and i.state = 'running' and locked."isServed"
      returning i.state
    ), decided as (
      select locked.*, not locked."isServed" or exists (select from counted where state = 'running') as "isOver"
      from locked
    ), changed as (
      update amo_refresh_attempts a
      set "outcomeCode" = ${code}, ${addStep('finished', claimContext.owner, code, claim.probed ?? 'none')},
        "finishedAt" = case when decided."isOver" then clock_timestamp() end,
        outcome = case when decided."isOver" then ${outcome} end,
        "leaseUntil" = case when decided."isOver" then a."leaseUntil" else clock_timestamp() end
      from decided where ${isOwned(claimContext, claim)}
        and a.integration = decided.integration and a."accountId" = decided."accountId"
      returning a.integration, a."accountId", decided."isOver"
    )
    update amo_tokens t set status = 'reauth_required', "failedAttempts" = 1,
      "nextAttemptAt" = ${recheckAt(sql`1`)}, ${lastError(code)}, "updatedAt" = clock_timestamp()
    from changed
    where changed."isOver" and t.integration = changed.integration and t."accountId" = changed."accountId"
      and t.status in ('active', 'pending')
    returning t."accountId"
  `.execute(claimContext.claims)
  return rows.length === 1
}

function isOwned({ owner }: ClaimContext, { attemptId, sendCount }: Claim): RawBuilder<boolean> {
  return sql`a.id = ${attemptId} and a.owner = ${owner} and a."finishedAt" is null
    and a."sendCount" = ${sendCount}`
}

/** The changes within the window. */
const recent = sql`array(select at from unnest(i."condemnedAt") at
  where at > clock_timestamp() - ${MASS.minutes} * interval '1 minute')`

const isFull = sql`cardinality(${recent}) >= greatest(${MASS.accounts}::float8,
  ${MASS.share}::float8 * (select count(*) from amo_tokens each where each.integration = i.name))`

/** `stateReason`, which operators read. */
function haltReason(code: FailureCode): string {
  return `more accounts than usual would have to be authorized again, the last one for ${code}`
}
