import { type RawBuilder, sql } from 'kysely'
import type { Claim, Claimant } from './claim.ts'
import type { FailureCode } from './failures.ts'
import { lastError, recheckAt } from './finish.ts'

/**
 * The mass guard (I10): so many accounts of an integration may be condemned within this time, or this share of them, whichever is
 * more. Of a wrong backup, a wrong answer of the provider, or a mistake of ours nobody else is told.
 */
const MASS = { accounts: 3, share: 0.01, minutes: 10 }

/**
 * Says that a person must authorize the account again: in one statement, fenced like a commit, and by the owner of the
 * claim alone (R5). False: nobody is condemned. The row has moved on, the claim is not ours any more, or the integration is
 * paused or halted, by this very condemnation where it is one too many; then the claim is let go and stays, to be resolved once
 * an operator has resumed the integration.
 * As in `change`, each is judged as it is once it is locked: the integration's row keeps count for all replicas.
 */
export async function condemn(
  claimant: Claimant,
  claim: Claim,
  code: FailureCode,
  outcome: 'refused' | 'lost',
): Promise<boolean> {
  const { rows } = await sql`
    with locked as materialized (
      select t.integration, t."accountId", t.status in ('active', 'pending') as "isServed",
        set_config('synchronous_commit', 'on', true)
      from amo_tokens t
      where t.integration = ${claim.integration} and t."accountId" = ${claim.accountId}
        and t.generation = ${claim.generation} and t."refreshTokenFingerprint" = ${claim.fingerprint}
        and exists (select from amo_refresh_attempts a where ${isOurs(claimant, claim)})
      for no key update of t
    ), counted as (
      update amo_integrations i
      set "condemnedAt" = case when ${isFull} then ${recent} else ${recent} || clock_timestamp() end,
        state = case when ${isFull} then 'halted' else i.state end,
        "stateReason" = case when ${isFull} then ${reasonOf(code)} else i."stateReason" end
      from locked where i.name = locked.integration and i.state = 'running' and locked."isServed"
      returning i.state
    ), judged as (
      select locked.*, not locked."isServed" or exists (select from counted where state = 'running') as "isOver"
      from locked
    ), changed as (
      update amo_refresh_attempts a
      set "outcomeCode" = ${code},
        "finishedAt" = case when judged."isOver" then clock_timestamp() end,
        outcome = case when judged."isOver" then ${outcome} end,
        "leaseUntil" = case when judged."isOver" then a."leaseUntil" else clock_timestamp() end
      from judged where ${isOurs(claimant, claim)}
        and a.integration = judged.integration and a."accountId" = judged."accountId"
      returning a.integration, a."accountId", judged."isOver"
    )
    update amo_tokens t set status = 'reauth_required', "failedAttempts" = 1,
      "nextAttemptAt" = ${recheckAt(sql`1`)}, ${lastError(code)}, "updatedAt" = clock_timestamp()
    from changed
    where changed."isOver" and t.integration = changed.integration and t."accountId" = changed."accountId"
      and t.status in ('active', 'pending')
    returning t."accountId"
  `.execute(claimant.claims)
  return rows.length === 1
}

function isOurs({ owner }: Claimant, { attemptId, sendCount }: Claim): RawBuilder<boolean> {
  return sql`a.id = ${attemptId} and a.owner = ${owner} and a."finishedAt" is null
    and a."sendCount" = ${sendCount}`
}

const recent = sql`array(select at from unnest(i."condemnedAt") at
  where at > clock_timestamp() - ${MASS.minutes} * interval '1 minute')`

const isFull = sql`cardinality(${recent}) >= greatest(${MASS.accounts}::float8,
  ${MASS.share}::float8 * (select count(*) from amo_tokens each where each.integration = i.name))`

function reasonOf(code: FailureCode): string {
  return `more accounts than usual would have to be authorized again, the last one for ${code}`
}
