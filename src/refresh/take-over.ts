import { sql } from 'kysely'
import { type Claim, type Claimant, leaseMs } from './claim.ts'

/**
 * Takes over claims whose lease has run out, of any replica, with the token as it stands on the locked row.
 * What their owners did is known by `sendCount` alone; where something was sent, it has had the settle time since.
 * A claim whose row has moved on is finished as superseded instead: nothing is sent for it (R3).
 */
export async function takeOverClaims(claimant: Claimant, limit: number): Promise<Claim[]> {
  const { claims, owner } = claimant
  const leaseIsOver = sql`a."leaseUntil" < clock_timestamp()
    - case when a."sendCount" > 0 then ${claimant.settleMs} else 0 end * interval '1 millisecond'`
  // A row never moves back to a generation, so this needs no lock on it.
  await sql`
    update amo_refresh_attempts a set "finishedAt" = clock_timestamp(), outcome = 'superseded'
    where a."finishedAt" is null and a."leaseUntil" < clock_timestamp()
      and not exists (select from amo_tokens t where t.integration = a.integration
        and t."accountId" = a."accountId" and t.generation = a.generation
        and t."refreshTokenFingerprint" = a."refreshTokenFingerprint")
  `.execute(claims)
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
        and exists (select from amo_deployment where "deploymentId" = ${claimant.deploymentId})
      order by a."leaseUntil" limit ${limit}
      for no key update of t skip locked
    ), taken as (
      update amo_refresh_attempts a
      set owner = ${owner},
        "leaseUntil" = clock_timestamp() + ${leaseMs(claimant)} * interval '1 millisecond'
      from expired where a.id = expired."attemptId" and a."finishedAt" is null and ${leaseIsOver}
      returning a.id as "attemptId", a."sendCount"
    )
    select expired.*, taken."sendCount" from taken join expired using ("attemptId")
  `.execute(claims)
  const leaseEndsAtMs = askedAtMs + leaseMs(claimant)
  return rows.map((row) => ({ ...row, leaseEndsAtMs }))
}
