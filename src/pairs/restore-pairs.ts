import { sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { IS_NEWER_ACCOUNT, SAME_ACCOUNT, upsertImages } from './upsert-images.ts'

/**
 * Brings the accounts of a restored database to the images in `escrow_images`: newer pairs and
 * states, removals. Marks every pair as restored, because nobody knows whether a newer one exists:
 * the provider is asked before it is sent.
 *
 * @returns the number of accounts that were removed
 */
export async function restorePairs(trx: Transaction<Tables>): Promise<number> {
  await freeDomains(trx)
  await upsertImages(trx, 'amo_tokens', sql`integration, "accountId"`, IS_NEWER_ACCOUNT)
  const removed = await removeAccounts(trx)
  await sql`update amo_tokens set "isRestored" = true where kind = 'oauth'`.execute(trx)
  return removed
}

/** A domain may have moved between two accounts since the backup. */
async function freeDomains(trx: Transaction<Tables>): Promise<void> {
  await sql`
    update amo_tokens t set domain = null
    from escrow_images i
    where i.relation = 'amo_tokens' and t.integration = i.name and t.domain is not null
      and (${SAME_ACCOUNT} and ${IS_NEWER_ACCOUNT}
        or t.domain = i.row->>'domain' and t."accountId" <> i."accountId")
  `.execute(trx)
}

async function removeAccounts(trx: Transaction<Tables>): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from amo_tokens t where exists (select from escrow_images i
      where ${SAME_ACCOUNT} and (
        i.relation = 'amo_tokens' and i.row is null and i.at >= t."updatedAt"
        or i.relation = 'amo_removals' and t.generation <= (i.row->>'generation')::bigint))
  `.execute(trx)
  return Number(numAffectedRows ?? 0)
}
