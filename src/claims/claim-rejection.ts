import { sql } from 'kysely'
import type { AccountKey } from '../lib/account-key.ts'
import type { ClaimContext } from './claim-context.ts'
import { isBreakerClosed, isDue, mayBeRefreshed } from './conditions.ts'
import { hasSecondPlace } from './second-place.ts'

/**
 * Why an account cannot be claimed. `missing`: it was removed. `generation_moved`: it has another
 * pair by now. `not_sendable`: paused, refreshed elsewhere, not authorized, or not to be refreshed
 * by this process. `no_second_place`: neither disk nor Redis has a place for the response, and the
 * token still lives. `backoff`: a failure delays the next try. `paced`: the integration's pace has
 * no room. `claimed`: an attempt is unfinished.
 */
export type ClaimRejection =
  | {
      reason:
        | 'missing'
        | 'generation_moved'
        | 'not_due'
        | 'not_sendable'
        | 'no_second_place'
        | 'backoff'
        | 'paced'
        | 'breaker_open'
    }
  | { reason: 'claimed'; leaseLeftMs: number }

/** Finds why `claimAccount` claimed nothing, as of now. */
export async function findClaimRejection(
  claimContext: ClaimContext,
  key: AccountKey,
  generation: number,
): Promise<ClaimRejection> {
  const { rows } = await sql<{
    generation: number
    isSendable: boolean
    isDue: boolean
    hasPlace: boolean
    failedAttempts: number
    isBreakerClosed: boolean
    leaseLeftMs: number | null
  }>`
    select t.generation, t."failedAttempts",
      ${mayBeRefreshed(claimContext)}
        and i.state = 'running' and d."deploymentId" is not null as "isSendable",
      ${hasSecondPlace(claimContext)} as "hasPlace", coalesce(${isDue}, false) as "isDue", ${isBreakerClosed} as "isBreakerClosed",
      (extract(epoch from a."leaseUntil" - clock_timestamp()) * 1000)::float8 as "leaseLeftMs"
    from amo_tokens t
    join amo_integrations i on i.name = t.integration
    left join amo_deployment d on d."deploymentId" = ${claimContext.deploymentId}
    left join amo_refresh_attempts a on a.integration = t.integration
      and a."accountId" = t."accountId" and a."finishedAt" is null
    where t.integration = ${key.integration} and t."accountId" = ${key.accountId}
  `.execute(claimContext.claims)
  const [row] = rows
  if (row === undefined) return { reason: 'missing' }
  if (row.generation !== generation) return { reason: 'generation_moved' }
  if (row.leaseLeftMs !== null)
    return { reason: 'claimed', leaseLeftMs: Math.max(0, row.leaseLeftMs) }
  if (!row.isSendable) return { reason: 'not_sendable' }
  if (!row.hasPlace) return { reason: 'no_second_place' }
  if (!row.isDue) return { reason: row.failedAttempts > 0 ? 'backoff' : 'not_due' }
  return { reason: row.isBreakerClosed ? 'paced' : 'breaker_open' }
}
