import { type Kysely, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { type Image, RELATIONS } from './segment-line.ts'

/** A row that changed, with its newest image, or the end of a snapshot (`name` is its segment). */
export interface Change extends Omit<Image, 'relation'> {
  id: number
  relation: Image['relation'] | 'snapshot'
}

/**
 * Reads the oldest changes with the images that their rows have now, in one statement: an image is
 * never older than its time. Skips tables that only a newer version knows; its
 * replicas read those.
 */
export async function readChanges(db: Kysely<Tables>, limit: number): Promise<Change[]> {
  const { rows } = await sql<Change>`
    select c.id, c.relation, c.name, c."accountId", to_json(clock_timestamp()) #>> '{}' as at,
      case c.relation
        when 'amo_tokens' then (select to_jsonb(t) from amo_tokens t
          where t.integration = c.name and t."accountId" = c."accountId")
        when 'amo_removals' then (select to_jsonb(r) from amo_removals r
          where r.integration = c.name and r."accountId" = c."accountId")
        when 'amo_integrations' then (select to_jsonb(i) from amo_integrations i where i.name = c.name)
        when 'amo_clients' then (select to_jsonb(x) from amo_clients x where x.name = c.name)
        when 'amo_endpoints' then (select to_jsonb(e) from amo_endpoints e where e.id::text = c.name)
        when 'amo_account_labels' then (select to_jsonb(l) from amo_account_labels l
          where l.integration = c.name and l."accountId" = c."accountId")
      end as row
    from amo_escrow_changes c
    where c.relation in (${sql.join([...RELATIONS, 'snapshot'])})
    order by c.id limit ${limit}
  `.execute(db)
  return rows
}

/** Forgets changes that are in the escrow. Returns how many were forgotten. */
export async function forgetChanges(db: Kysely<Tables>, ids: readonly number[]): Promise<void> {
  await sql`delete from amo_escrow_changes where id = any(${ids}::bigint[])`.execute(db)
}

/** Returns the age of the oldest change that is not in the escrow, in seconds; 0: there is none. */
export async function findLagSeconds(db: Kysely<Tables>): Promise<number> {
  const { rows } = await sql<{ seconds: number }>`
    select coalesce(extract(epoch from clock_timestamp() - "changedAt"), 0)::float8 as seconds
    from amo_escrow_changes order by id limit 1
  `.execute(db)
  return rows[0]?.seconds ?? 0
}
