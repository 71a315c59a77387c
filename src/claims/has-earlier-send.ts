import { sql } from 'kysely'
import type { Claim } from './claim.ts'
import type { ClaimContext } from './claim-context.ts'

/**
 * Returns whether the broker sent this token before, under another claim, without proof that it
 * stayed unspent. Then a refusal may be the consequence of that send, and the code
 * `spent_elsewhere` would be wrong.
 */
export async function hasEarlierSend(claimContext: ClaimContext, claim: Claim): Promise<boolean> {
  const { rows } = await sql`
    select from amo_refresh_attempts
    where "refreshTokenFingerprint" = ${claim.fingerprint} and id <> ${claim.attemptId}
      and "sendCount" > 0 and outcome is distinct from 'refused'
      and outcome is distinct from 'not_sent'
    limit 1
  `.execute(claimContext.claims)
  return rows.length > 0
}
