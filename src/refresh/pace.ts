import { type Kysely, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { bucket, type Lane, room } from './claim.ts'

/**
 * Takes one token from an integration's pace bucket, for a call that is no refresh. False: the lane has to wait, or the integration
 * is paused, halted or behind a breaker.
 */
export async function takePace(
  db: Kysely<Tables>,
  integration: string,
  lane: Lane,
): Promise<boolean> {
  const { rows } = await sql`
    update amo_integrations i set "paceTokens" = ${bucket} - 1, "paceAt" = clock_timestamp()
    where i.name = ${integration} and i.state = 'running' and ${room(lane)} >= 1
      and not exists (select from amo_open_breakers o where o.integration = i.name)
    returning i.name
  `.execute(db)
  return rows.length === 1
}
