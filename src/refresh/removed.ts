import { sql } from 'kysely'
import type { AccountKey } from '../accounts/account-key.ts'
import { keyText } from '../accounts/account-key.ts'
import type { Engine } from './engine.ts'

const BATCH = 50

/**
 * The copies of removed accounts' pairs outside of the database: in Redis, and on this disk. Until every place could be asked
 * the removal stays open, and the next sweep comes back to it. Other replicas clear their own disks, when they hear of it or start.
 */
export async function clearRemoved({
  committer,
  keptAnswers,
  log,
}: Pick<Engine, 'committer' | 'keptAnswers' | 'log'>): Promise<void> {
  const { rows } = await sql<AccountKey & { generation: number }>`
    select integration, "accountId", generation from amo_removals
    where "clearedAt" is null order by "removedAt" limit ${BATCH}
  `.execute(committer.claims)
  for (const { generation, ...key } of rows) {
    try {
      await keptAnswers.forgetOlder(key, generation + 1)
    } catch (err) {
      log.warn({ err, account: keyText(key) }, 'copies of a removed account not cleared yet')
      continue
    }
    await sql`
      update amo_removals set "clearedAt" = clock_timestamp()
      where integration = ${key.integration} and "accountId" = ${key.accountId}
        and generation = ${generation}
    `.execute(committer.claims)
  }
}
