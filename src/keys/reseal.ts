import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { KeyMissing, SealBroken } from '../errors.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { SEALED_COLUMNS, type SealedColumns, type SealedRow } from './sealed-columns.ts'

/** Rows of one look. */
const BATCH = 200

/** What a pass did in one place. */
export interface Resealed {
  place: string
  resealed: number
  /** Under a key that is not loaded, or altered. */
  unreadable: number
}

type Row = SealedRow & Record<string, string | number | boolean | null>

/**
 * Moves every sealed value of the database to the first key. Each row is one statement, fenced by what was read: a token that
 * was refreshed meanwhile is left alone, for it is under the first key anyway. Breaking off loses nothing, the next pass
 * goes on; several at once do no harm. Nothing that an answer depends on changes, so no cache is woken.
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

/** Rows that hold a value under another key, in the order of their primary key. */
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

/** The columns that change; undefined when one cannot be opened. */
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
  const isSame = [...key, ...fence, ...names].map((name) => sql`${sql.ref(name)} = ${row[name]}`)
  const { numAffectedRows } = await sql`
    update ${sql.table(table)} set ${sql.join(sets)} where ${sql.join(isSame, sql` and `)}
  `.execute(db)
  return numAffectedRows === 1n
}

function list(names: string[]): RawBuilder<unknown> {
  return sql.join(names.map((name) => sql.ref(name)))
}

/**
 * How many values are sealed under which key, in the whole database: key id → table → count. Those under `exceptKey` are
 * found but counted as one: they are nearly all, and a look at each of a million would take longer than any statement may.
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

/** From one key to the next one, so that an index on them is looked at once a key. */
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

/** As `keyIdOf`: of a value that was never sealed nothing is told. */
function keyId(column: string): RawBuilder<unknown> {
  return sql`amo_key_id(${sql.ref(column)})`
}

/** Adds to what is counted of a key in a place. */
export function add(
  counts: Map<string, Map<string, number>>,
  keyId: string,
  place: string,
  values: number,
): void {
  const places = counts.get(keyId) ?? new Map<string, number>()
  counts.set(keyId, places.set(place, (places.get(place) ?? 0) + values))
}
