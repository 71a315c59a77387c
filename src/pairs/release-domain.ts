import { type Kysely, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { AccountKey } from '../lib/account-key.ts'

/**
 * Takes the domain from another account that had it: a domain can change owners, and the provider
 * says whose it is now.
 */
export async function releaseDomain(
  trx: Kysely<Tables>,
  { integration, accountId, domain }: AccountKey & { domain: string },
): Promise<void> {
  await sql`
    update amo_tokens set domain = null, "updatedAt" = clock_timestamp()
    where integration = ${integration} and domain = ${domain} and "accountId" <> ${accountId}
  `.execute(trx)
}
