import type { Identity } from '../db/tables/access.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'

/** Returns only the columns that name the holder of a session. */
export function identityOf({ kind, name, role, keyId, keyHash }: Identity): Identity {
  return { kind, name, role, keyId, keyHash }
}

/** Computes the mac of a session or a sign-in link. Only the broker can write one that fits. */
export function identityMac(
  hash: KeyedHash,
  purpose: 'session' | 'link',
  row: Identity & { hash: string; expiresAt: Date },
): string {
  const { kind, name, role, keyId, keyHash } = row
  return hash.of(
    JSON.stringify([purpose, row.hash, kind, name, role, keyId, keyHash, row.expiresAt.getTime()]),
  )
}
