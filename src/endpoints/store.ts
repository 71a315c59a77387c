import { type InsertObject, type Kysely, sql, type Transaction, type UpdateObject } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'

const SHOWN = [
  'id',
  'name',
  'kind',
  'origin',
  'language',
  'types',
  'integrations',
  'grouped',
  'state',
  'disabledReason',
  'failingSince',
  'lastSuccessAt',
  'lastErrorCode',
  'previousUntil',
  'createdBy',
  'createdAt',
  'updatedAt',
] as const

/** An endpoint without its sealed values. */
export type Endpoint = Pick<Row<'amo_endpoints'>, (typeof SHOWN)[number]>

/** What a change can set. Sealed values are sealed already. */
export type EndpointChange = Omit<
  UpdateObject<Tables, 'amo_endpoints'>,
  'id' | 'name' | 'kind' | 'createdBy' | 'createdAt' | 'updatedAt'
>

/** Returns all endpoints in the order of their names. */
export function findEndpoints(db: Kysely<Tables>): Promise<Endpoint[]> {
  return db.selectFrom('amo_endpoints').select(SHOWN).orderBy('name').execute()
}

/** @returns undefined when there is no such endpoint */
export function findEndpoint(db: Kysely<Tables>, name: string): Promise<Endpoint | undefined> {
  return db.selectFrom('amo_endpoints').select(SHOWN).where('name', '=', name).executeTakeFirst()
}

/** Returns an endpoint with its sealed values. */
export function findSealed(
  db: Kysely<Tables>,
  name: string,
): Promise<Row<'amo_endpoints'> | undefined> {
  return db.selectFrom('amo_endpoints').selectAll().where('name', '=', name).executeTakeFirst()
}

/** Returns an endpoint with its sealed values, and locks its row until the transaction ends. */
export function lockEndpoint(
  trx: Transaction<Tables>,
  name: string,
): Promise<Row<'amo_endpoints'> | undefined> {
  return trx
    .selectFrom('amo_endpoints')
    .selectAll()
    .where('name', '=', name)
    .forUpdate()
    .executeTakeFirst()
}

/** @returns false when the name is taken */
export async function insertEndpoint(
  trx: Transaction<Tables>,
  endpoint: InsertObject<Tables, 'amo_endpoints'>,
): Promise<boolean> {
  const inserted = await trx
    .insertInto('amo_endpoints')
    .values(endpoint)
    .onConflict((conflict) => conflict.column('name').doNothing())
    .returning('id')
    .executeTakeFirst()
  return inserted !== undefined
}

/** Changes an endpoint. */
export async function updateEndpoint(
  db: Kysely<Tables>,
  id: string,
  change: EndpointChange,
): Promise<void> {
  await db
    .updateTable('amo_endpoints')
    .set({ ...change, updatedAt: sql<Date>`clock_timestamp()` })
    .where('id', '=', id)
    .execute()
}

/** Removes an endpoint with its deliveries. */
export async function deleteEndpoint(trx: Transaction<Tables>, id: string): Promise<void> {
  await trx.deleteFrom('amo_endpoints').where('id', '=', id).execute()
}
