import { sql } from 'kysely'
import type { Claim } from './claim.ts'
import type { ClaimContext } from './claim-context.ts'
import { insertClaims } from './insert-claims.ts'
import { room } from './pace.ts'

/**
 * Claims accounts of an integration that are due, the longest waiting first, as many as its pace
 * allows now. Lane `due` has the accounts that are read, lane `idle` the others.
 */
export function claimDueAccounts(
  claimContext: ClaimContext,
  integration: string,
  limit: number,
  lane: 'due' | 'idle' = 'due',
): Promise<Claim[]> {
  const due = sql`
    amo_is_idle(t) = ${lane === 'idle'} and t."nextAttemptAt" <= now()
    order by t."nextAttemptAt"
    limit (select least(${limit}::float8, greatest(0, floor(${room(lane)})))::int
      from amo_integrations i where i.name = ${integration})
    for no key update of t skip locked`
  return insertClaims(claimContext, { integration, lane, purpose: 'refresh', due })
}
