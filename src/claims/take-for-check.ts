import { sql } from 'kysely'
import type { AccountKey } from '../lib/account-key.ts'
import type { ClaimContext } from './claim-context.ts'
import { isBoundHere, isRotated } from './conditions.ts'
import { room, tokensInBucket } from './pace.ts'

/** Two refusals of both tokens must be this far apart before they are believed. */
const SECOND_LOOK_SECONDS = 60

/**
 * When the token was last known to be alive: the key of the index amo_tokens_unchecked. It is
 * compared with now(), because PostgreSQL cannot look up a volatile clock_timestamp() in an index.
 */
const lastKnownAt = sql<Date>`greatest(t."checkedAt", t."lastRefreshAt", t."createdAt")`

/** An account whose access token is to be checked. No claim: a refresh may run meanwhile. */
export interface CheckedToken extends AccountKey {
  generation: number
  accessToken: string
  domain: string | null
  apiDomain: string | null
  /** True when an earlier check of the same pair had both tokens refused. */
  isSuspect: boolean
  /** Time since the last check of the account, or since it was connected. */
  ageSeconds: number
}

/**
 * Takes a suspect that was refused a minute ago, or the account in use whose last check is the
 * longest ago, if that is `intervalMinutes` or more, and records the check, if the pace has room
 * after everybody else. A pair that is newer counts as checked. Replicas take different accounts.
 */
export async function takeForCheck(
  claimContext: ClaimContext,
  integration: string,
  intervalMinutes: number,
): Promise<CheckedToken | undefined> {
  const isCheckable = sql<boolean>`t.integration = ${integration} and ${isRotated}
    and t.status = 'active' and not amo_is_idle(t) and t."accessDeadAt" is null
    and t."expiresAt" > clock_timestamp() and ${isBoundHere(claimContext)}`
  const columns = sql`t.integration, t."accountId", coalesce(t."checkedAt", t."createdAt") as before,
    t."suspectAt" is not null and t."suspectAt" > coalesce(t."lastRefreshAt", t."createdAt") as "isSuspect"`
  const { rows } = await sql<CheckedToken>`
    with suspect as materialized (
      select ${columns} from amo_tokens t
      where ${isCheckable}
        and t."suspectAt" < now() - ${SECOND_LOOK_SECONDS} * interval '1 second'
      order by t."suspectAt"
      limit 1
      for no key update of t skip locked
    ), oldest as materialized (
      select ${columns} from amo_tokens t
      where ${isCheckable} and not exists (select from suspect)
        and ${lastKnownAt} < now() - ${intervalMinutes} * interval '1 minute'
      order by ${lastKnownAt}
      limit 1
      for no key update of t skip locked
    ), taken as (
      select * from suspect union all select * from oldest
    ), paced as (
      update amo_integrations i
      set "paceTokens" = ${tokensInBucket} - 1, "paceAt" = clock_timestamp()
      where i.name = ${integration} and i.state = 'running' and exists (select from taken)
        and ${room('checking')} >= 1
        and not exists (select from amo_open_breakers o where o.integration = i.name)
      returning i.name
    )
    update amo_tokens t set "checkedAt" = clock_timestamp(), "suspectAt" = null
    from taken, paced
    where t.integration = taken.integration and t."accountId" = taken."accountId"
    returning t.integration, t."accountId", t.generation, t."accessToken", t.domain, t."apiDomain",
      taken."isSuspect", extract(epoch from clock_timestamp() - taken.before)::float8 as "ageSeconds"
  `.execute(claimContext.claims)
  return rows[0]
}

/** Records that both tokens of this pair were refused. The next check of the account comes soon. */
export async function markSuspect(
  { claims }: ClaimContext,
  { integration, accountId, generation }: CheckedToken,
): Promise<void> {
  await sql`
    update amo_tokens set "suspectAt" = clock_timestamp()
    where integration = ${integration} and "accountId" = ${accountId} and generation = ${generation}
  `.execute(claims)
}
