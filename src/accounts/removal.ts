import { sql } from 'kysely'
import type { Database } from '../db/database.ts'
import type { AccountKey } from './account-key.ts'

/** What a removal took away. */
export interface Removed extends AccountKey {
  domain: string | null
  parkedPairs: number
  pairsInInbox: number
}

/**
 * Removes an account with every pair of it that the database holds, in one transaction, and writes down that it did: a refresh
 * that is under way finds that, and its pair is dropped. Copies elsewhere are cleared by the sweeper. Undefined: it is gone.
 */
export function removeAccount(database: Database, key: AccountKey): Promise<Removed | undefined> {
  const { integration, accountId } = key
  const isAccounts = sql`integration = ${integration} and "accountId" = ${accountId}`
  return database.claims.transaction().execute(async (trx) => {
    await sql`select set_config('synchronous_commit', 'on', true)`.execute(trx)
    const { rows } = await sql<{ domain: string | null; generation: number }>`
      delete from amo_tokens where ${isAccounts} returning domain, generation
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
    // One that was not accepted names no account, but the host that it came from.
    const inInbox = await sql`
      update amo_inbox set pair = null
      where pair is not null and "finishedAt" is not null and (${isAccounts}
        or (integration = ${integration} and "accountId" is null and referer = ${row.domain}))
    `.execute(trx)
    return {
      integration,
      accountId,
      domain: row.domain,
      parkedPairs: Number(parked.numAffectedRows ?? 0),
      pairsInInbox: Number(inInbox.numAffectedRows ?? 0),
    }
  })
}
