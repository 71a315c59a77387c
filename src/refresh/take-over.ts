import { type RawBuilder, sql } from 'kysely'
import { type Claim, type Claimant, leaseMs } from './claim.ts'

/**
 * Takes over claims whose token was sent and whose lease and settle time are over, of any replica, with the token as it stands
 * on the locked row. Not while the integration is paused or halted: the claim keeps the account until it runs again.
 * The others that have run out are finished: nothing is sent for a row that has moved on (R3), and where nothing was sent
 * there is nothing to find out, the schedule comes back to the account by itself.
 */
export async function takeOverClaims(claimant: Claimant, limit: number): Promise<Claim[]> {
  const { claims, owner } = claimant
  await finishMovedOn(claimant)
  await finishUnsent(claimant)
  const leaseIsOver = sql`a."sendCount" > 0
    and a."leaseUntil" < clock_timestamp() - ${claimant.settleMs} * interval '1 millisecond'`
  const askedAtMs = performance.now()
  const { rows } = await sql<Omit<Claim, 'leaseEndsAtMs'>>`
    with expired as materialized (
      select a.id as "attemptId", t.integration, t."accountId", t.generation, t."refreshTokenFingerprint" as fingerprint,
        t."refreshToken", t.domain, t."apiDomain",
        set_config('synchronous_commit', 'on', true)
      from amo_tokens t join amo_refresh_attempts a on a.integration = t.integration
        and a."accountId" = t."accountId" and a.generation = t.generation
        and a."refreshTokenFingerprint" = t."refreshTokenFingerprint"
      where a."finishedAt" is null and ${leaseIsOver}
        and split_part(t."refreshToken", '.', 1) = any(${claimant.keyIds}::text[])
        and exists (select from amo_integrations i where i.name = t.integration and i.state = 'running')
        and ${isOurs(claimant)}
      order by a."leaseUntil" limit ${limit}
      for no key update of t skip locked
    ), taken as (
      update amo_refresh_attempts a
      set owner = ${owner}, purpose = 'refresh',
        "leaseUntil" = clock_timestamp() + ${leaseMs(claimant)} * interval '1 millisecond'
      from expired where a.id = expired."attemptId" and a."finishedAt" is null and ${leaseIsOver}
      returning a.id as "attemptId", a."sendCount"
    )
    select expired.*, taken."sendCount", false as "isCanary" from taken join expired using ("attemptId")
  `.execute(claims)
  const leaseEndsAtMs = askedAtMs + leaseMs(claimant)
  return rows.map((row) => ({ ...row, leaseEndsAtMs }))
}

/** A row never moves back to a generation, so this needs no lock on it. */
async function finishMovedOn(claimant: Claimant): Promise<void> {
  await sql`
    update amo_refresh_attempts a set "finishedAt" = clock_timestamp(), outcome = 'superseded'
    where a."finishedAt" is null and a."leaseUntil" < clock_timestamp() and ${isOurs(claimant)}
      and not exists (select from amo_tokens t where t.integration = a.integration
        and t."accountId" = a."accountId" and t.generation = a.generation
        and t."refreshTokenFingerprint" = a."refreshTokenFingerprint")
  `.execute(claimant.claims)
}

/** `recordSend` writes nothing once the lease is over, so that nothing can be sent any more under these. */
async function finishUnsent(claimant: Claimant): Promise<void> {
  await sql`
    update amo_refresh_attempts set "finishedAt" = clock_timestamp(), outcome = 'not_sent'
    where "finishedAt" is null and "sendCount" = 0 and "leaseUntil" < clock_timestamp() and ${isOurs(claimant)}
    returning pg_notify('amo_tokens', json_build_array(integration, "accountId", generation)::text)
  `.execute(claimant.claims)
}

/** A copy of the database changes nothing of the original's ledger, and a process that holds nothing at all. */
function isOurs({ deploymentId }: Claimant): RawBuilder<boolean> {
  return sql`exists (select from amo_deployment where "deploymentId" = ${deploymentId})`
}
