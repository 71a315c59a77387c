import type { AccountKey } from '../accounts/account-key.ts'
import { SealBroken } from '../errors.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { Secret } from '../vault/secret.ts'
import type { KeptAnswer } from './answer.ts'

const KIND = 'refresh'

/** What a kept answer is found by without opening it. */
export interface KeptName extends AccountKey {
  generation: number
  attemptId: number
}

export function nameOfKept({ integration, accountId, generation, attemptId }: KeptName): string {
  return [KIND, integration, accountId, generation, attemptId].join('~')
}

/** Undefined: the name of something else. */
export function parseKeptName(name: string): KeptName | undefined {
  const [kind, integration = '', ...numbers] = name.split('~')
  const [accountId = 0, generation = 0, attemptId = 0] = numbers.map(Number)
  if (kind !== KIND || numbers.length !== 3) return undefined
  return { integration, accountId, generation, attemptId }
}

/** The answer with its fence, sealed for the place that its name says: it opens under no other. */
export function sealKept(keyRing: KeyRing, kept: KeptAnswer): string {
  const { fingerprint, sentAtMs, body } = kept
  const text = JSON.stringify({ fingerprint, sentAtMs, body: body.reveal() })
  return keyRing.seal(text, placeOf(nameOfKept(kept)))
}

/** Undefined: altered, torn or moved, and so no answer of ours. Throws `KeyMissing`. */
export function openKept(keyRing: KeyRing, name: KeptName, sealed: string): KeptAnswer | undefined {
  try {
    const text = keyRing.open(sealed, placeOf(nameOfKept(name))).reveal()
    const { fingerprint, sentAtMs, body } = JSON.parse(text)
    return { ...name, fingerprint, sentAtMs, body: new Secret(body) }
  } catch (error) {
    if (error instanceof SealBroken) return undefined
    throw error
  }
}

function placeOf(row: string) {
  return { table: 'spool', row, column: 'answer', generation: 0 }
}
