import { sql } from 'kysely'
import { type Claim, logFields } from '../claims/claim.ts'
import { commitPair } from '../pairs/commit-pair.ts'
import type { RefreshContext } from './context.ts'
import { forgetParked, isInRow, openParked, type ParkedRow, receivedOf } from './parked-pair.ts'
import { probeToken } from './probe-claim.ts'

/** Older pairs are dead: refresh tokens live for three months (docs/provider.md, part 3). */
const LOOK_BACK_DAYS = 90
const MAX_PROBED = 5

/**
 * Probes the account's parked pairs, the newest first, and puts one that is alive in the place of
 * the dead pair, under the claim's fence.
 * @returns false when none is alive.
 */
export async function adoptParked(context: RefreshContext, claim: Claim): Promise<boolean> {
  const { rows } = await sql<ParkedRow>`
    select id, integration, "accountId", generation, "parkedPair", "claimedAt" from amo_refresh_attempts
    where integration = ${claim.integration} and "accountId" = ${claim.accountId}
      and "parkedPair" is not null and "claimedAt" > clock_timestamp() - ${LOOK_BACK_DAYS} * interval '1 day'
    order by id desc limit ${MAX_PROBED}
  `.execute(context.commitContext.claims)
  for (const row of rows) {
    const pair = openParked(context, row)
    if ((await probeToken(context, claim, pair.refreshToken)).state !== 'alive') continue
    // The refresh token is this account's, as the probe says. An access token that names another
    // account is treated as dead.
    const isForeign = pair.claims !== undefined && pair.claims.accountId !== claim.accountId
    const received = {
      ...receivedOf(claim, row, isForeign ? { ...pair, claims: undefined } : pair),
      isAccessDead: isForeign,
      adoptedBy: { owner: context.claimContext.owner, sendCount: claim.sendCount },
    }
    const { result } = await commitPair(context.commitContext, received)
    if (!isInRow(result)) return false
    await forgetParked(context, row)
    context.process.log.warn(logFields(claim), 'parked token pair adopted')
    return true
  }
  return false
}
