import { type Kysely, type Selectable, sql, type Transaction } from 'kysely'
import type { Grant, StoredKey } from '../db/tables/access.ts'
import type { Tables } from '../db/tables.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import { clientMac, isAuthentic, type SignedClient } from './signature.ts'

export type ClientRow = Selectable<Tables['amo_clients']>

/**
 * Returns the clients that are not revoked. A revoked client stays in the table, so that its name
 * is not used again.
 */
export function findLiveClients(db: Kysely<Tables>): Promise<ClientRow[]> {
  return db.selectFrom('amo_clients').selectAll().where('revokedAt', 'is', null).execute()
}

/** Returns clients in the order of their names, those after `after`, revoked ones included. */
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

/**
 * Inserts a client. The audit knows clients by name, so the name of a revoked client cannot be used
 * again.
 *
 * @returns false when the name is taken
 */
export async function insertClient(
  trx: Transaction<Tables>,
  hash: KeyedHash,
  client: SignedClient,
): Promise<boolean> {
  const inserted = await trx
    .insertInto('amo_clients')
    .values({
      name: client.name,
      role: client.role,
      keys: JSON.stringify(client.keys),
      grants: JSON.stringify(client.grants),
      mac: clientMac(hash, client),
    })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .returning('name')
    .executeTakeFirst()
  return inserted !== undefined
}

/** @returns undefined when there is no such client, or it was revoked */
export function findClient(db: Kysely<Tables>, name: string): Promise<ClientRow | undefined> {
  return db
    .selectFrom('amo_clients')
    .selectAll()
    .where('name', '=', name)
    .where('revokedAt', 'is', null)
    .executeTakeFirst()
}

/** Returns a client as `findClient` does, and locks its row until the transaction ends. */
export function lockClient(trx: Transaction<Tables>, name: string): Promise<ClientRow | undefined> {
  return trx
    .selectFrom('amo_clients')
    .selectAll()
    .where('name', '=', name)
    .where('revokedAt', 'is', null)
    .forUpdate()
    .executeTakeFirst()
}

/** Changes a client that is locked, and signs it again. */
export async function updateClient(
  trx: Transaction<Tables>,
  hash: KeyedHash,
  client: ClientRow,
  change: { keys?: StoredKey[]; grants?: Grant[]; isRevoked?: boolean },
): Promise<void> {
  const { keys = client.keys, grants = client.grants } = change
  const now = sql<Date>`clock_timestamp()`
  await trx
    .updateTable('amo_clients')
    .set({
      updatedAt: now,
      keys: JSON.stringify(keys),
      grants: JSON.stringify(grants),
      mac: clientMac(hash, { ...client, keys, grants }),
      ...(change.isRevoked ? { revokedAt: now } : {}),
    })
    .where('name', '=', client.name)
    .execute()
}

/**
 * Removes the grants of an integration that ends from every client, revoked ones included. Without
 * this, they would apply to the next integration of its name.
 */
export async function endGrants(
  trx: Transaction<Tables>,
  hash: KeyedHash,
  integration: string,
): Promise<void> {
  const clients = await trx
    .selectFrom('amo_clients')
    .selectAll()
    .where(sql<boolean>`grants @> ${JSON.stringify([{ integration }])}::jsonb`)
    .orderBy('name')
    .forUpdate()
    .execute()
  for (const client of clients) {
    // A client that somebody has altered is not signed anew.
    if (!isAuthentic(hash, client)) continue
    const grants = client.grants.filter((grant) => grant.integration !== integration)
    await updateClient(trx, hash, client, { grants })
  }
}
