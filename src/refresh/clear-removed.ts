import { sql } from 'kysely'
import type { AccountKey } from '../lib/account-key.ts'
import { keyText } from '../lib/account-key.ts'
import type { RefreshContext } from './context.ts'

const BATCH = 50

/**
 * Removes the journaled responses of removed accounts, from Redis and from this disk. A removal
 * stays open until every store has answered, and the next sweep comes back to it. The other
 * replicas clear their own disks when they are notified, or when they start.
 */
export async function clearRemovedAccounts(context: RefreshContext): Promise<void> {
  const { claims } = context.commitContext
  const { rows } = await sql<AccountKey & { generation: number }>`
    select integration, "accountId", generation from amo_removals
    where "clearedAt" is null order by "removedAt" limit ${BATCH}
  `.execute(claims)
  for (const { generation, ...key } of rows) {
    try {
      await context.responseJournal.forgetOlder(key, generation + 1, { isRemoved: true })
    } catch (err) {
      const fields = { err, account: keyText(key) }
      // The store that does not answer is reported where it began to fail.
      context.process.log.debug(fields, 'responses of a removed account not cleared yet')
      continue
    }
    await sql`
      update amo_removals set "clearedAt" = clock_timestamp()
      where integration = ${key.integration} and "accountId" = ${key.accountId}
        and generation = ${generation}
    `.execute(claims)
  }
}
