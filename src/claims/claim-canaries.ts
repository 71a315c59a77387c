import { sql } from 'kysely'
import type { Claim } from './claim.ts'
import type { ClaimContext } from './claim-context.ts'
import { insertClaims } from './insert-claims.ts'

/**
 * Claims one account for the send that finds out whether the provider works again, where the time
 * of a breaker is over. Exactly one, whichever replica and integration comes first. Any account
 * that is due is taken at random, so that one account in an unusual state does not keep the breaker
 * open for all.
 */
export async function claimCanaries(claimContext: ClaimContext): Promise<Claim[]> {
  const { rows } = await sql<{ integration: string }>`
    select distinct integration from amo_open_breakers where "openUntil" <= clock_timestamp()
  `.execute(claimContext.claims)
  // Both values are listed so that the index is used.
  const due = sql`
    amo_is_idle(t) = any('{false,true}') and t."nextAttemptAt" <= now()
    order by random() limit 1
    for no key update of t skip locked`
  const claims = []
  for (const { integration } of rows) {
    const order = { integration, lane: 'due', purpose: 'canary', due } as const
    claims.push(...(await insertClaims(claimContext, order)))
  }
  return claims
}
