import { type RawBuilder, sql } from 'kysely'
import { firstStep } from '../pairs/attempt-step.ts'
import type { Claim } from './claim.ts'
import type { ClaimContext } from './claim-context.ts'
import { isBoundHere, isUnclaimed, leaseUntil, mayBeRefreshed, syncCommit } from './conditions.ts'
import { type ClaimPurpose, GATES } from './gates.ts'
import { leaseMs } from './lease.ts'
import { type Lane, room, tokensInBucket } from './pace.ts'
import { hasSecondPlace } from './second-place.ts'

interface ClaimOrder {
  integration: string
  lane: Lane
  purpose: ClaimPurpose
  /** Which accounts: the rest of the `where`, the order and limit, and the row lock. */
  due: RawBuilder<unknown>
}

type ClaimRow = Omit<Claim, 'leaseEndsAtMs' | 'integration'>

/**
 * Claims accounts in one statement. Each part guards against a trace of the model checker:
 * - `for no key update` in the same statement: a claim that waits behind a commit is judged by the
 *   row that the commit left, not by its own older snapshot (R1).
 * - The token comes from the locked row: none that was read earlier or later is ever sent (R2).
 * - `on conflict do nothing` on unfinished attempts: at most one claim per account.
 *
 * Lock order, as everywhere: amo_tokens, amo_integrations, amo_breakers, amo_refresh_attempts.
 */
export async function insertClaims(
  claimContext: ClaimContext,
  { integration, lane, purpose, due }: ClaimOrder,
): Promise<Claim[]> {
  if (claimContext.hasGap()) return []
  const gate = GATES[purpose]
  const lease = leaseMs(claimContext)
  const askedAtMs = claimContext.clock.nowMs()
  const { rows } = await sql<ClaimRow>`
    with due as materialized (
      select t."accountId", t.generation, t."refreshTokenFingerprint", t."refreshToken",
        t.domain, t."apiDomain", t."isRestored", ${syncCommit}
      from amo_tokens t
      where t.integration = ${integration} and ${mayBeRefreshed(claimContext)}
        and ${isBoundHere(claimContext)}
        and ${isUnclaimed} and ${hasSecondPlace(claimContext)}
        and ${gate.isPassable} and ${due}
    ), paced as (
      update amo_integrations i
      set "paceTokens" = ${tokensInBucket} - (select count(*) from due), "paceAt" = clock_timestamp()
      where i.name = ${integration} and i.state = 'running' and exists (select from due)
        and ${room(lane)} >= (select count(*) from due)
      returning i.name
    ), passed as (${gate.pass(lease)}
    ), claimed as (
      insert into amo_refresh_attempts
        (integration, "accountId", generation, "refreshTokenFingerprint", owner, "leaseUntil", purpose, steps)
      select passed.name, due."accountId", due.generation, due."refreshTokenFingerprint",
        ${claimContext.owner}, ${leaseUntil(lease)}, ${purpose},
        ${firstStep('claimed', claimContext.owner, purpose)}
      from due, (select distinct name from passed) passed
      on conflict (integration, "accountId") where "finishedAt" is null do nothing
      returning id, "accountId"
    )
    select claimed.id as "attemptId", "accountId", due.generation, due."refreshTokenFingerprint" as fingerprint,
      due."refreshToken", due.domain, due."apiDomain", due."isRestored", 0 as "sendCount", ${purpose} = 'canary' as "isCanary"
    from claimed join due using ("accountId")
  `.execute(claimContext.claims)
  const leaseEndsAtMs = askedAtMs + lease
  return rows.map((row) => ({ ...row, integration, leaseEndsAtMs }))
}
