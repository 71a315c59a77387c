import type { ExternalSeed } from '../db/tables/onboarding.ts'
import { boundFields } from '../vault/bound-fields.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'

/**
 * Computes the mac of the integration that a button creates. It is bound to the button's link, so
 * it fits no other one.
 */
export function seedMac(states: KeyedHash, tokenHash: string, seed: ExternalSeed): string {
  return states.of(JSON.stringify(['seed', tokenHash, boundFields({ ...seed, clientId: '' })]))
}
