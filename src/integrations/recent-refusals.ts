import { type Kysely, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'

/** During an outage there are more. They are not counted one by one. */
const MOST_COUNTED = 10_000

interface RefusalCount {
  code: string
  times: number
  lastAt: Date
}

/**
 * Counts the refreshes of the last day that the provider refused, by code, the most frequent first.
 * A probe that found out what it asked (`checked`) is no refusal.
 */
export async function countRecentRefusals(
  db: Kysely<Tables>,
  integration: string,
): Promise<RefusalCount[]> {
  const { rows } = await sql<RefusalCount>`
    select code, count(*)::int as times, max(at) as "lastAt" from (
      select "outcomeCode" as code, "finishedAt" as at from amo_refresh_attempts
      where integration = ${integration} and "outcomeCode" is not null and "outcomeCode" <> 'checked'
        and "finishedAt" > now() - interval '1 day'
      order by "finishedAt" desc limit ${MOST_COUNTED}
    ) recent group by code order by times desc, code
  `.execute(db)
  return rows
}
