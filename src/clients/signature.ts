import type { Grant, Role, StoredKey } from '../db/tables/access.ts'
import { equalInConstantTime, type KeyedHash } from '../vault/keyed-hash.ts'
import type { Secret } from '../vault/secret.ts'

/** The columns of a client that decide what its keys open. */
export interface SignedClient {
  name: string
  role: Role
  keys: readonly StoredKey[]
  grants: readonly Grant[]
}

/** Computes the stored hash of a key. It is bound to the client, so it opens no other one. */
export function keyHashOf(hash: KeyedHash, client: string, key: Secret | string): string {
  const text = typeof key === 'string' ? key : key.reveal()
  return hash.of(JSON.stringify(['key', client, text]))
}

/**
 * Computes the mac of a client. A write to the table, such as a role, a grant or a later expiry,
 * does not fit it. The order of members is fixed here, because jsonb does not keep it.
 */
export function clientMac(hash: KeyedHash, { name, role, keys, grants }: SignedClient): string {
  const signed = [
    ...['client', name, role],
    keys.map(({ id, hash, createdAt, expiresAt }) => [id, hash, createdAt, expiresAt]),
    grants.map(({ integration, accountId }) => [integration, accountId]),
  ]
  return hash.of(JSON.stringify(signed))
}

/** Returns whether the broker wrote this client as it is. */
export function isAuthentic(hash: KeyedHash, client: SignedClient & { mac: string }): boolean {
  return equalInConstantTime(clientMac(hash, client), client.mac)
}
