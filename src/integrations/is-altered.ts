import { SealBroken } from '../lib/errors.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { type SecretRow, secretAt } from '../vault/sealed-places.ts'

/**
 * Returns whether somebody else than the broker wrote the fields of an integration that decide
 * where its secret is sent. A secret whose key is not loaded proves nothing, and cannot be sent
 * either.
 */
export function isAltered(keyRing: KeyRing, row: SecretRow & { clientSecret: string }): boolean {
  try {
    keyRing.open(row.clientSecret, secretAt(row, 'clientSecret'))
    return false
  } catch (error) {
    return error instanceof SealBroken
  }
}
