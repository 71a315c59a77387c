import { sql } from 'kysely'
import { releaseDomain } from '../pairs/release-domain.ts'
import type { Claim } from './claim.ts'
import type { ClaimContext } from './claim-context.ts'

/**
 * Stores the domain where the provider says that the account is now, in the row and in the claim.
 */
export async function moveAccount(
  claimContext: ClaimContext,
  claim: Claim,
  domain: string,
): Promise<void> {
  await claimContext.claims.transaction().execute(async (trx) => {
    await releaseDomain(trx, { ...claim, domain })
    await sql`
      update amo_tokens set domain = ${domain}, "updatedAt" = clock_timestamp()
      where integration = ${claim.integration} and "accountId" = ${claim.accountId}
        and generation = ${claim.generation}
    `.execute(trx)
  })
  claim.domain = domain
}
