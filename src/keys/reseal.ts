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
  let after: Row | undefined
  do {
    const rows = await findOld(db, place, keyRing.sealsWith, after)
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
  firstKey: string,
  after: Row | undefined,
): Promise<Row[]> {
  const keys = list(key)
  const isBehind =
    after === undefined
      ? sql`true`
      : sql`(${keys}) > (${sql.join(key.map((name) => sql`${after[name]}`))})`
  const isOld = columns.map((name) => sql`split_part(${sql.ref(name)}, '.', 1) <> ${firstKey}`)
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

/** How many values are sealed under which key, in the whole database: key id → table → count. */
export async function countByKey(db: Kysely<Tables>): Promise<Map<string, Map<string, number>>> {
  const counts = new Map<string, Map<string, number>>()
  for (const { table, columns } of SEALED_COLUMNS) {
    for (const column of columns) {
      const { rows } = await sql<{ keyId: string; values: number }>`
        select ${keyId(column)} as "keyId", count(*)::int as values
        from ${sql.table(table)} where ${sql.ref(column)} is not null group by 1
      `.execute(db)
      for (const { keyId, values } of rows) add(counts, keyId, table, values)
    }
  }
  return counts
}

/** As `keyIdOf`: of a value that was never sealed nothing is told. */
function keyId(column: string): RawBuilder<unknown> {
  const value = sql.ref(column)
  return sql`case when ${value} ~ '^[A-Za-z0-9_-]{1,32}\\.'
    then split_part(${value}, '.', 1) else 'unreadable' end`
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
