import { sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'

/** A table whose rows the temporary table `escrow_images` has images of. */
type Relation =
  | 'amo_integrations'
  | 'amo_clients'
  | 'amo_endpoints'
  | 'amo_removals'
  | 'amo_tokens'
  | 'amo_account_labels'

/** Joins an image `i` with the row `t` of its account. */
export const SAME_ACCOUNT = sql<boolean>`t.integration = i.name and t."accountId" = i."accountId"`

/** An image never replaces a newer pair. With the same pair, it may have a newer state. */
export const IS_NEWER_ACCOUNT = sql<boolean>`i.row is not null and (
  (i.row->>'generation')::bigint > t.generation
  or (i.row->>'generation')::bigint = t.generation and (i.row->>'updatedAt')::timestamptz > t."updatedAt")`

/**
 * Inserts the images of a table, or replaces the rows that they are newer than. Sets the columns
 * that both the image and the table have: the image may be of an older or newer schema.
 */
export async function upsertImages(
  trx: Transaction<Tables>,
  relation: Relation,
  key: ReturnType<typeof sql>,
  isNewer: ReturnType<typeof sql>,
): Promise<number> {
  let changed = 0
  for (const columns of await findColumnSets(trx, relation)) {
    const list = sql.join(columns.map((column) => sql.ref(column)))
    const sets = sql.join(
      columns.map((column) => sql`${sql.ref(column)} = excluded.${sql.ref(column)}`),
    )
    const keys = sql`array[${sql.join(columns.map((column) => sql`${column}::text`))}]`
    const { numAffectedRows } = await sql`
      insert into ${sql.table(relation)} (${list})
      select ${sql.join(columns.map((column) => sql`(r).${sql.ref(column)}`))} from (
        select jsonb_populate_record(null::${sql.table(relation)}, i.row) as r
        from escrow_images i left join ${sql.table(relation)} t on ${sameRow(relation)}
        where i.relation = ${relation} and i.row is not null
          and ${keys} = (select array_agg(c order by c) from jsonb_object_keys(i.row) c where c = any(${COLUMNS(relation)}))
          and (t is null or ${isNewer})
      ) newest
      on conflict (${key}) do update set ${sets}
    `.execute(trx)
    changed += Number(numAffectedRows ?? 0)
  }
  return changed
}

/** Joins an image `i` with its row `t`. */
export function sameRow(relation: Relation): ReturnType<typeof sql> {
  if (relation === 'amo_endpoints') return sql`t.id::text = i.name`
  const isOfAccount = relation !== 'amo_integrations' && relation !== 'amo_clients'
  return isOfAccount ? SAME_ACCOUNT : sql`t.name = i.name`
}

const COLUMNS = (relation: Relation) => sql`array(
  select attname::text from pg_attribute
  where attrelid = ${relation}::regclass and attnum > 0 and not attisdropped and attgenerated = '')`

/** Returns the sets of columns that the images of a table have. There is one for each schema. */
async function findColumnSets(trx: Transaction<Tables>, relation: Relation): Promise<string[][]> {
  const { rows } = await sql<{ columns: string[] }>`
    select distinct (select array_agg(c order by c) from jsonb_object_keys(row) c
      where c = any(${COLUMNS(relation)})) as columns
    from escrow_images where relation = ${relation} and row is not null
  `.execute(trx)
  return rows.map(({ columns }) => columns)
}
