import { sql } from 'kysely'
import type { AccountKey } from '../accounts/account-key.ts'
import { type Claim, type Claimant, leaseMs } from './claim.ts'

/**
 * Claims one account for a look at it: due or not, condemned or not, but only while nobody refreshes it, so that the
 * verdict is about the pair that the claim names. Nothing may be sent under it. Undefined: it is gone, held, or has
 * no refresh token that can be opened here. A copy of the database is looked at with `isAnyDeployment`.
 */
export async function claimForVerdict(
  claimant: Claimant,
  key: AccountKey,
  { isAnyDeployment = false } = {},
): Promise<Claim | undefined> {
  const askedAtMs = performance.now()
  const { rows } = await sql<Omit<Claim, 'leaseEndsAtMs'>>`
    with target as materialized (
      select t.integration, t."accountId", t.generation, t."refreshTokenFingerprint" as fingerprint, t."refreshToken",
        t.domain, t."apiDomain", set_config('synchronous_commit', 'on', true)
      from amo_tokens t
      where t.integration = ${key.integration} and t."accountId" = ${key.accountId}
        and t.status in ('active', 'pending', 'reauth_required') and t.kind = 'oauth'
        and split_part(t."refreshToken", '.', 1) = any(${claimant.keyIds}::text[])
        and (${isAnyDeployment}::boolean
          or exists (select from amo_deployment where "deploymentId" = ${claimant.deploymentId}))
        and not exists (select from amo_refresh_attempts a where a.integration = t.integration
          and a."accountId" = t."accountId" and a."finishedAt" is null)
      for no key update of t
    ), claimed as (
      insert into amo_refresh_attempts
        (integration, "accountId", generation, "refreshTokenFingerprint", owner, "leaseUntil", purpose)
      select integration, "accountId", generation, fingerprint, ${claimant.owner},
        clock_timestamp() + ${leaseMs(claimant)} * interval '1 millisecond', 'verdict'
      from target
      on conflict (integration, "accountId") where "finishedAt" is null do nothing
      returning id, "accountId"
    )
    select target.*, claimed.id as "attemptId", 0 as "sendCount", false as "isCanary"
    from target join claimed using ("accountId")
  `.execute(claimant.claims)
  const [row] = rows
  return row && { ...row, leaseEndsAtMs: askedAtMs + leaseMs(claimant) }
}

/** Ends a look that is to leave no trace on the account, whatever its status. */
export async function endVerdict(claimant: Claimant, claim: Claim): Promise<void> {
  await sql`
    update amo_refresh_attempts
    set "finishedAt" = clock_timestamp(), outcome = 'not_sent', "outcomeCode" = 'checked'
    where id = ${claim.attemptId} and owner = ${claimant.owner} and "finishedAt" is null
    returning pg_notify('amo_tokens', json_build_array(integration, "accountId", generation)::text)
  `.execute(claimant.claims)
}

/** Condemned accounts whose next look has come, the longest waiting first. */
export async function findToRecheck(claimant: Claimant, limit: number): Promise<AccountKey[]> {
  const { rows } = await sql<AccountKey>`
    select integration, "accountId" from amo_tokens
    where status = 'reauth_required' and kind = 'oauth' and "nextAttemptAt" <= clock_timestamp()
      and exists (select from amo_deployment where "deploymentId" = ${claimant.deploymentId})
    order by "nextAttemptAt" limit ${limit}
  `.execute(claimant.claims)
  return rows
}
