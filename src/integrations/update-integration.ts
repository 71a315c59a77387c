import { sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { BrokerError, SealBroken } from '../lib/errors.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { type SecretRow, secretAt } from '../vault/sealed-places.ts'
import type { Secret } from '../vault/secret.ts'
import type { IntegrationOrder } from './edit.ts'
import { lockIntegration, tryAgainNow } from './store.ts'

/**
 * Changes an integration and seals its secrets again, because they are bound to the fields that
 * change. A row that somebody has altered takes only the settings that its secret is bound to: that
 * restores it. Throws `bad_request`, and `KeyMissing` when a secret that stays cannot be opened.
 *
 * @returns False when there is no such integration.
 */
export async function updateIntegration(
  trx: Transaction<Tables>,
  keyRing: KeyRing,
  name: string,
  order: IntegrationOrder,
): Promise<boolean> {
  const row = await lockIntegration(trx, name)
  if (row === undefined) return false
  const next = { name, ...order }
  const present = openSecret(keyRing, row, next, order.clientSecret)
  const isReplaced = order.clientSecret !== undefined
  await trx
    .updateTable('amo_integrations')
    .set({
      provider: order.provider,
      clientId: order.clientId,
      redirectUri: order.redirectUri,
      acceptsInstalls: order.acceptsInstalls,
      sandboxOrigin: order.sandboxOrigin,
      profile: JSON.stringify(order.profile),
      clientSecret: keyRing.seal(order.clientSecret ?? present, secretAt(next, 'clientSecret')),
      nextClientSecret: rebindNextSecret(keyRing, row, next),
      ...(isReplaced ? { lastErrorCode: null, lastErrorAt: null } : {}),
      updatedAt: sql<Date>`clock_timestamp()`,
    })
    .where('name', '=', name)
    .execute()
  if (isReplaced) await tryAgainNow(trx, [name])
  return true
}

/**
 * Opens the present secret, and so proves that the row is as the broker wrote it. `replacement` is
 * returned when the key of the present one is not loaded.
 */
function openSecret(
  keyRing: KeyRing,
  row: SecretRow & { clientSecret: string },
  next: SecretRow,
  replacement: Secret | undefined,
): Secret {
  for (const place of [row, next]) {
    try {
      return keyRing.open(row.clientSecret, secretAt(place, 'clientSecret'))
    } catch (error) {
      if (error instanceof SealBroken) continue
      if (replacement === undefined) throw error
      return replacement
    }
  }
  const detail =
    'It was altered in the database. Send exactly the settings that it had before, or restore its row.'
  throw new BrokerError('bad_request', detail)
}

/**
 * Seals the next secret for other fields.
 *
 * @returns Null when there is none, or it cannot be opened.
 */
export function rebindNextSecret(
  keyRing: KeyRing,
  row: SecretRow & { nextClientSecret: string | null },
  next: SecretRow,
): string | null {
  if (row.nextClientSecret === null) return null
  for (const place of [row, next]) {
    try {
      const secret = keyRing.open(row.nextClientSecret, secretAt(place, 'nextClientSecret'))
      return keyRing.seal(secret, secretAt(next, 'nextClientSecret'))
    } catch (error) {
      if (!(error instanceof BrokerError || error instanceof SealBroken)) throw error
    }
  }
  return null
}
