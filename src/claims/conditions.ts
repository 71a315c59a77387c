import { type RawBuilder, sql } from 'kysely'
import type { ClaimContext } from './claim-context.ts'

/*
 * The conditions that several claim statements share. `t` is the row of `amo_tokens`.
 */

/**
 * The account's pair is in use and nothing stops its rotation: neither an operator nor another
 * service that refreshes it.
 */
export const isRotated = sql<boolean>`(t.status in ('active', 'pending') and t.kind = 'oauth'
  and not t.paused and not t.shadow)`

/** The refresh token is sealed under a key that is loaded here. */
export function isReadable({ keyIds }: ClaimContext): RawBuilder<boolean> {
  return sql`split_part(t."refreshToken", '.', 1) = any(${keyIds}::text[])`
}

/** The account may be refreshed by this process, as far as its own row decides. */
export function mayBeRefreshed(claimContext: ClaimContext): RawBuilder<boolean> {
  return sql`(${isRotated} and ${isReadable(claimContext)})`
}

/**
 * The database belongs to the deployment of this process. A copy of a database is bound to another
 * one, and a process that must not send has none: neither may claim anything, or change the ledger
 * (I10).
 */
export function isBoundHere({ deploymentId }: ClaimContext): RawBuilder<boolean> {
  return sql`exists (select from amo_deployment where "deploymentId" = ${deploymentId})`
}

/** No attempt of the account is unfinished. */
export const isUnclaimed = sql<boolean>`not exists (select from amo_refresh_attempts a
  where a.integration = t.integration and a."accountId" = t."accountId" and a."finishedAt" is null)`

/**
 * The planned time has come, or the promise to readers is over and no failure delays the next try.
 */
export const isDue = sql<boolean>`(t."nextAttemptAt" <= clock_timestamp()
  or (t."failedAttempts" = 0 and t."refreshAt" <= clock_timestamp()))`

/** The integration is neither paused nor halted. */
export const isIntegrationRunning = sql<boolean>`exists (select from amo_integrations i
  where i.name = t.integration and i.state = 'running')`

/** No breaker of the integration, or of its platform, is open. */
export const isBreakerClosed = sql<boolean>`not exists (select from amo_open_breakers o
  where o.integration = t.integration)`

/** The end of a lease that begins now. */
export function leaseUntil(leaseMs: number): RawBuilder<Date> {
  return sql`clock_timestamp() + ${leaseMs} * interval '1 millisecond'`
}

/**
 * Makes the transaction wait until PostgreSQL has written it to disk, also behind a transaction
 * pooler. Used as a column of a `materialized` part, so that it runs once.
 */
export const syncCommit = sql`set_config('synchronous_commit', 'on', true)`

/** Wakes the readers that wait for the account of the changed attempt. */
export const notifyWaiters = sql`pg_notify('amo_tokens',
  json_build_array(integration, "accountId", generation)::text)`
