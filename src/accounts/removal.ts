import { sql } from 'kysely'
import type { Act } from '../audit/act.ts'
import type { Database } from '../db/database.ts'
import type { AccountKey } from '../lib/account-key.ts'

/** A removed account, and the number of its pairs that were removed with it. */
export interface Removed extends AccountKey {
  domain: string | null
  parkedPairs: number
  pairsInInbox: number
}

/**
 * Removes an account and every pair of it in the database, in one transaction, and records the
 * removal. A refresh in progress finds the record and drops its pair. The sweeper clears the copies
 * outside of the database.
 *
 * @returns undefined when the account is gone already, or no longer fits `condition` (on `t`)
 */
export function removeAccount(
  database: Database,
  key: AccountKey,
  act: Act,
  condition = sql<boolean>`true`,
): Promise<Removed | undefined> {
  const { integration, accountId } = key
  const isAccounts = sql`integration = ${integration} and "accountId" = ${accountId}`
  return database.claims.transaction().execute(async (trx) => {
    await sql`select set_config('synchronous_commit', 'on', true)`.execute(trx)
    const { rows } = await sql<{ domain: string | null; generation: number }>`
      delete from amo_tokens t where ${isAccounts} and ${condition} returning domain, generation
    `.execute(trx)
    const [row] = rows
    if (row === undefined) return undefined
    await sql`
      insert into amo_removals (integration, "accountId", generation)
      values (${integration}, ${accountId}, ${row.generation})
      on conflict (integration, "accountId") do update set generation = excluded.generation,
        "removedAt" = clock_timestamp(), "clearedAt" = null
    `.execute(trx)
    const parked = await sql`
      update amo_refresh_attempts set "parkedPair" = null where ${isAccounts} and "parkedPair" is not null
    `.execute(trx)
    // An entry that was not accepted has no account, but the host that its code came from.
    const inInbox = await sql`
      update amo_inbox set pair = null
      where pair is not null and "finishedAt" is not null and (${isAccounts}
        or (integration = ${integration} and "accountId" is null and referer = ${row.domain}))
    `.execute(trx)
    await act.record(trx, { account: key, generation: row.generation })
    return {
      integration,
      accountId,
      domain: row.domain,
      parkedPairs: Number(parked.numAffectedRows ?? 0),
      pairsInInbox: Number(inInbox.numAffectedRows ?? 0),
    }
  })
}
