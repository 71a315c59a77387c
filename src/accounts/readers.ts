import { type Kysely, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { AccountKey } from '../lib/account-key.ts'

const READER_DAYS = 7

/** A client that has read the token of an account. */
export interface Reader {
  client: string
  lastReadAt: Date
}

/**
 * Returns the clients that have read the account's token in the last week, the newest first. Reads
 * are written to the audit within ten seconds. Jumps from client to client in the index, however
 * often each of them reads.
 */
export async function findReaders(
  db: Kysely<Tables>,
  { integration, accountId }: AccountKey,
): Promise<Reader[]> {
  const reads = sql`amo_audit a where a.action = 'readToken' and a."accountId" is not null
    and a.integration = ${integration} and a."accountId" = ${accountId}`
  const { rows } = await sql<Reader>`
    with recursive readers(client) as (
      (select min(a.actor) from ${reads})
      union all
      select (select min(a.actor) from ${reads} and a.actor > readers.client)
      from readers where readers.client is not null
    )
    select client, "lastReadAt" from readers cross join lateral (
      select max(a.at) as "lastReadAt" from ${reads} and a.actor = readers.client
    ) last
    where client is not null and "lastReadAt" > now() - ${READER_DAYS} * interval '1 day'
    order by "lastReadAt" desc
  `.execute(db)
  return rows
}
