import type { Kysely } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { Secret } from '../vault/secret.ts'
import { secretAt } from './store.ts'

/** Which secret a client was refused with: how it is sealed tells it from any other, and says nothing. */
export type SecretMark = string

/** The secret to try once the provider refuses the present one; null: none. False: there is no such integration. */
export async function setNextSecret(
  db: Kysely<Tables>,
  keyRing: KeyRing,
  name: string,
  secret: Secret | null,
): Promise<boolean> {
  const nextClientSecret =
    secret === null ? null : keyRing.seal(secret, secretAt(name, 'nextClientSecret'))
  const updated = await db
    .updateTable('amo_integrations')
    .set({ nextClientSecret, updatedAt: new Date() })
    .where('name', '=', name)
    .returning('name')
    .executeTakeFirst()
  return updated !== undefined
}

/**
 * Changes places of the two secrets, if the present one is still the one that was refused. The refused one is kept as the
 * next: should the refusal have been wrong, the next refusal brings it back.
 */
export async function swapSecrets(
  db: Kysely<Tables>,
  keyRing: KeyRing,
  name: string,
  refused: SecretMark,
): Promise<boolean> {
  const row = await db
    .selectFrom('amo_integrations')
    .select(['clientSecret', 'nextClientSecret'])
    .where('name', '=', name)
    .executeTakeFirst()
  if (row === undefined || row.nextClientSecret === null || row.clientSecret !== refused) {
    return false
  }
  const [present, next] = [secretAt(name, 'clientSecret'), secretAt(name, 'nextClientSecret')]
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
