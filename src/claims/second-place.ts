import { type RawBuilder, sql } from 'kysely'
import { MIN_REST_SHARE } from '../pairs/plan.ts'
import type { ClaimContext } from './claim-context.ts'

/**
 * The response to a refresh would have a second place beside the database: the disk of this
 * process, or Redis. Without one, the account waits until its token is handed out to nobody any
 * more: a kill at the wrong moment would lose the pair, and the token is still good until then.
 */
export function hasSecondPlace({ hasSecondPlace, limits }: ClaimContext): RawBuilder<boolean> {
  return sql`(${hasSecondPlace()}::boolean or t."accessDeadAt" is not null or t."expiresAt" <= clock_timestamp()
    + least(${limits.minRestMs} * interval '1 millisecond', ${MIN_REST_SHARE}::float8 * (t."expiresAt" - t."issuedAt")))`
}
