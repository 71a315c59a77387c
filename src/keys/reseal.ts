import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { KeyMissing, SealBroken } from '../lib/errors.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { SEALED_COLUMNS, type SealedColumns, type SealedRow } from '../vault/sealed-places.ts'

/** Rows read at once. */
const BATCH = 200

/** The result of a pass in one place. */
export interface Resealed {
  place: string
  resealed: number
  /** Values that are altered, or sealed under a key that is not loaded. */
  unreadable: number
}

type Row = SealedRow & Record<string, string | number | boolean | null>

/**
 * Re-seals every value of the database under the first key. Each row is one statement that changes
 * only what was read: a token that was refreshed meanwhile is under the first key anyway. A pass
 * can be interrupted, and several can run at once. Nothing that a response depends on changes, so
 * no cache is invalidated.
 */
export async function* resealDatabase(
  db: Kysely<Tables>,
  keyRing: KeyRing,
): AsyncGenerator<Resealed> {
  for (const place of SEALED_COLUMNS) yield await resealTable(db, keyRing, place)
}

async function resealTable(
  db: Kysely<Tables>,
  keyRing: KeyRing,
  place: SealedColumns,
): Promise<Resealed> {
  const done = { place: place.table, resealed: 0, unreadable: 0 }
  const oldKeys = new Set<string>()
  for (const column of place.columns) {
    for (const id of await findKeyIds(db, place.table, column)) oldKeys.add(id)
  }
  oldKeys.delete(keyRing.sealsWith)
  if (oldKeys.size === 0) return done
  let after: Row | undefined
  do {
    const rows = await findOld(db, place, [...oldKeys], after)
    for (const row of rows) {
      const sealed = trySeal(keyRing, place, row)
      if (sealed === undefined) done.unreadable += 1
      else if (await replace(db, place, row, sealed)) done.resealed += 1
    }
    after = rows.length === BATCH ? rows.at(-1) : undefined
  } while (after !== undefined)
  return done
}

/** Returns rows with a value under one of the old keys, in the order of their primary key. */
async function findOld(
  db: Kysely<Tables>,
  { table, columns, key, fence }: SealedColumns,
  oldKeys: string[],
  after: Row | undefined,
): Promise<Row[]> {
  const keys = list(key)
  const isBehind =
    after === undefined
      ? sql`true`
      : sql`(${keys}) > (${sql.join(key.map((name) => sql`${after[name]}`))})`
  const isOld = columns.map((name) => sql`${keyId(name)} = any(${oldKeys})`)
  const { rows } = await sql<Row>`
    select ${list([...key, ...fence, ...columns])} from ${sql.table(table)}
    where ${isBehind} and (${sql.join(isOld, sql` or `)})
    order by ${keys} limit ${BATCH}
  `.execute(db)
  return rows
}

/**
 * Returns the columns that change, re-sealed.
 * @returns Undefined when one of them cannot be opened.
 */
function trySeal(
  keyRing: KeyRing,
  place: SealedColumns,
  row: Row,
): Record<string, string> | undefined {
  const changed: Record<string, string> = {}
  try {
    for (const column of place.columns) {
      const old = row[column]
      const sealed =
        typeof old === 'string' ? keyRing.reseal(old, place.at(row, column)) : undefined
      if (sealed !== undefined) changed[column] = sealed
    }
    return changed
  } catch (error) {
    if (error instanceof KeyMissing || error instanceof SealBroken) return undefined
    throw error
  }
}

async function replace(
  db: Kysely<Tables>,
  { table, key, fence }: SealedColumns,
  row: Row,
  sealed: Record<string, string>,
): Promise<boolean> {
  const names = Object.keys(sealed)
  const sets = names.map((name) => sql`${sql.ref(name)} = ${sealed[name]}`)
  const isSame = [...key, ...fence, ...names].map((name) =>
    // `=` and not `is not distinct from`, which uses no index.
    row[name] === null ? sql`${sql.ref(name)} is null` : sql`${sql.ref(name)} = ${row[name]}`,
  )
  const { numAffectedRows } = await sql`
    update ${sql.table(table)} set ${sql.join(sets)} where ${sql.join(isSame, sql` and `)}
  `.execute(db)
  return numAffectedRows === 1n
}

function list(names: string[]): RawBuilder<unknown> {
  return sql.join(names.map((name) => sql.ref(name)))
}

/**
 * Counts the values under each key in the whole database: key id → table → number. Values under
 * `exceptKey` count as one per column: they are nearly all of them, and counting a million rows
 * would exceed the statement timeout.
 */
export async function countByKey(
  db: Kysely<Tables>,
  exceptKey?: string,
): Promise<Map<string, Map<string, number>>> {
  const counts = new Map<string, Map<string, number>>()
  for (const place of SEALED_COLUMNS) {
    for (const column of place.columns) {
      for (const id of await findKeyIds(db, place.table, column)) {
        const values = id === exceptKey ? 1 : await countUnder(db, place.table, column, id)
        add(counts, id, place.table, values)
      }
    }
  }
  return counts
}

/**
 * Returns the ids of all keys in a column. Steps from one key to the next, so that an index is read
 * once per key.
 */
async function findKeyIds(db: Kysely<Tables>, table: string, column: string): Promise<string[]> {
  const from = sql`from ${sql.table(table)} where ${sql.ref(column)} is not null`
  const { rows } = await sql<{ id: string }>`
    with recursive known as (
      select (select min(${keyId(column)}) ${from}) as id
      union all
      select (select min(${keyId(column)}) ${from} and ${keyId(column)} > known.id)
      from known where known.id is not null
    )
    select id from known where id is not null
  `.execute(db)
  return rows.map(({ id }) => id)
}

async function countUnder(
  db: Kysely<Tables>,
  table: string,
  column: string,
  id: string,
): Promise<number> {
  const { rows } = await sql<{ values: number }>`
    select count(*)::int as values from ${sql.table(table)}
    where ${sql.ref(column)} is not null and ${keyId(column)} = ${id}
  `.execute(db)
  return rows[0]?.values ?? 0
}

/** The same as `keyIdOf`, in SQL. */
function keyId(column: string): RawBuilder<unknown> {
  return sql`amo_key_id(${sql.ref(column)})`
}

/** Adds to the number of values of a key in a place. */
export function add(
  counts: Map<string, Map<string, number>>,
  keyId: string,
  place: string,
  values: number,
): void {
  const places = counts.get(keyId) ?? new Map<string, number>()
  counts.set(keyId, places.set(place, (places.get(place) ?? 0) + values))
}
