import { type Kysely, type Selectable, sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { Grant, Role } from './caller.ts'

export type ClientRow = Selectable<Tables['amo_clients']>

/** As it stands in the table: times are text there. */
export interface StoredKey {
  id: string
  hash: string
  createdAt: string
  /** Null: until it is revoked. */
  expiresAt: string | null
}

export interface NewClient {
  name: string
  role: Role
  grants: Grant[]
  keys: StoredKey[]
}

/** Those that may come in; a revoked one stays in the table for its name's sake. */
export function findLiveClients(db: Kysely<Tables>): Promise<ClientRow[]> {
  return db.selectFrom('amo_clients').selectAll().where('revokedAt', 'is', null).execute()
}

/** In the order of their names, those behind `after`, revoked ones too. */
export function findClients(
  db: Kysely<Tables>,
  after: string,
  limit: number,
): Promise<ClientRow[]> {
  return db
    .selectFrom('amo_clients')
    .selectAll()
    .where('name', '>', after)
    .orderBy('name')
    .limit(limit)
    .execute()
}

/** False: the name is taken, be it by a revoked one. The audit knows clients by name, so none is used twice. */
export async function insertClient(trx: Transaction<Tables>, client: NewClient): Promise<boolean> {
  const inserted = await trx
    .insertInto('amo_clients')
    .values({
      name: client.name,
      role: client.role,
      keys: JSON.stringify(client.keys),
      grants: JSON.stringify(client.grants),
    })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .returning('name')
    .executeTakeFirst()
  return inserted !== undefined
}

/** Undefined: there is no such one, or it was revoked. */
export function findClient(db: Kysely<Tables>, name: string): Promise<ClientRow | undefined> {
  return db
    .selectFrom('amo_clients')
    .selectAll()
    .where('name', '=', name)
    .where('revokedAt', 'is', null)
    .executeTakeFirst()
}

/** As `findClient`, until the transaction ends. */
export function lockClient(trx: Transaction<Tables>, name: string): Promise<ClientRow | undefined> {
  return trx
    .selectFrom('amo_clients')
    .selectAll()
    .where('name', '=', name)
    .where('revokedAt', 'is', null)
    .forUpdate()
    .executeTakeFirst()
}

export async function updateClient(
  trx: Transaction<Tables>,
  name: string,
  change: { keys?: StoredKey[]; grants?: Grant[]; isRevoked?: boolean },
): Promise<void> {
  const now = sql<Date>`clock_timestamp()`
  await trx
    .updateTable('amo_clients')
    .set({
      updatedAt: now,
      ...(change.keys === undefined ? {} : { keys: JSON.stringify(change.keys) }),
      ...(change.grants === undefined ? {} : { grants: JSON.stringify(change.grants) }),
      ...(change.isRevoked ? { revokedAt: now } : {}),
    })
    .where('name', '=', name)
    .execute()
}
