import type { Kysely, Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { provenSecretAt, secretAt } from '../vault/sealed-places.ts'
import type { Secret } from '../vault/secret.ts'
import { BOUND_COLUMNS, lockIntegration } from './store.ts'

/** Identifies a client secret without revealing it: its sealed text, which no other secret has. */
export type SecretMark = string

/**
 * Stores the secret to try when the provider refuses the present one. Null removes it.
 *
 * @returns False when there is no such integration.
 */
export async function setNextSecret(
  trx: Transaction<Tables>,
  keyRing: KeyRing,
  name: string,
  secret: Secret | null,
): Promise<boolean> {
  const row = await lockIntegration(trx, name)
  if (row === undefined) return false
  // Proves that the row is as the broker wrote it: otherwise the secret would be bound to an
  // altered one.
  if (secret !== null) keyRing.open(row.clientSecret, secretAt(row, 'clientSecret'))
  const nextClientSecret =
    secret === null ? null : keyRing.seal(secret, secretAt(row, 'nextClientSecret'))
  await trx
    .updateTable('amo_integrations')
    .set({ nextClientSecret, updatedAt: new Date() })
    .where('name', '=', name)
    .execute()
  return true
}

/**
 * Stores which client secret the provider has accepted, if it is still the present one. It proves a
 * change of hosts.
 */
export async function setProvenSecret(
  db: Kysely<Tables>,
  keyRing: KeyRing,
  name: string,
  accepted: SecretMark,
): Promise<void> {
  const row = await db
    .selectFrom('amo_integrations')
    .select(BOUND_COLUMNS)
    .where('name', '=', name)
    .executeTakeFirst()
  if (row === undefined) return
  const secret = keyRing.open(accepted, secretAt(row, 'clientSecret'))
  await db
    .updateTable('amo_integrations')
    .set({ provenSecret: keyRing.seal(secret, provenSecretAt(name)) })
    .where('name', '=', name)
    .where('clientSecret', '=', accepted)
    .execute()
}

/**
 * Swaps the two secrets if the present one is still the one that was refused. The refused one
 * becomes the next: if the refusal was wrong, the next refusal swaps them back.
 *
 * @returns False when nothing was swapped.
 */
export async function swapSecrets(
  db: Kysely<Tables>,
  keyRing: KeyRing,
  name: string,
  refused: SecretMark,
): Promise<boolean> {
  const row = await db
    .selectFrom('amo_integrations')
    .select(['clientSecret', 'nextClientSecret', ...BOUND_COLUMNS])
    .where('name', '=', name)
    .executeTakeFirst()
  if (row === undefined || row.nextClientSecret === null || row.clientSecret !== refused) {
    return false
  }
  const [present, next] = [secretAt(row, 'clientSecret'), secretAt(row, 'nextClientSecret')]
  const updated = await db
    .updateTable('amo_integrations')
    .set({
      clientSecret: keyRing.seal(keyRing.open(row.nextClientSecret, next), present),
      nextClientSecret: keyRing.seal(keyRing.open(refused, present), next),
      updatedAt: new Date(),
    })
    .where('name', '=', name)
    .where('clientSecret', '=', refused)
    .where('nextClientSecret', '=', row.nextClientSecret)
    .returning('name')
    .executeTakeFirst()
  return updated !== undefined
}
