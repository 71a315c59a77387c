import { sql, type Transaction } from 'kysely'
import type { IntegrationConfig } from '../config/integrations.ts'
import type { Tables } from '../db/tables.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import { secretAt } from '../vault/sealed-places.ts'
import { isAltered } from './is-altered.ts'
import { type IntegrationRow, lockIntegration, tryAgainNow } from './store.ts'
import { rebindNextSecret } from './update-integration.ts'

/** `restored`: somebody had altered the row, and the environment was applied over it. */
type SeedResult = 'unchanged' | 'applied' | 'restored'

/**
 * Creates the integration that the environment describes, or applies the environment if it has
 * changed since, or if the row was altered in the database. Throws when this would move an
 * integration between the sandbox and the real provider.
 */
export async function seedIntegration(
  trx: Transaction<Tables>,
  keyRing: KeyRing,
  hash: KeyedHash,
  seed: IntegrationConfig,
): Promise<SeedResult> {
  const { name, provider, clientId, redirectUri, sandboxOrigin } = seed
  const envDigest = hash.of(JSON.stringify([clientId, seed.clientSecret.reveal(), redirectUri]))
  const fresh = { name, provider, clientId, redirectUri, sandboxOrigin, profile: {} }
  const sealed = keyRing.seal(seed.clientSecret, secretAt(fresh, 'clientSecret'))
  const inserted = await trx
    .insertInto('amo_integrations')
    .values({ ...fresh, profile: '{}', clientSecret: sealed, envDigest })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .returning('name')
    .executeTakeFirst()
  const row = inserted === undefined ? await lockIntegration(trx, name) : undefined
  if (row === undefined) return 'applied'
  if (isAltered(keyRing, row)) {
    await apply(trx, keyRing, row, seed, { envDigest, profile: {} })
    return 'restored'
  }
  if (row.sandboxOrigin !== sandboxOrigin) {
    throw new Error(
      `integration "${name}" was created for ${row.sandboxOrigin ?? 'the real provider'} and stays there: ` +
        'correct its …_SANDBOX_ORIGIN, or use another database',
    )
  }
  if (row.envDigest === envDigest) return 'unchanged'
  await apply(trx, keyRing, row, seed, { envDigest, profile: row.profile })
  // The secret may have been corrected: the canary shows at once.
  await tryAgainNow(trx, [name])
  return 'applied'
}

async function apply(
  trx: Transaction<Tables>,
  keyRing: KeyRing,
  row: IntegrationRow,
  { clientSecret, ...seed }: IntegrationConfig,
  { envDigest, profile }: { envDigest: string; profile: Record<string, unknown> },
): Promise<void> {
  const { name } = seed
  const next = { ...seed, profile }
  await trx
    .updateTable('amo_integrations')
    .set({
      ...seed,
      profile: JSON.stringify(profile),
      clientSecret: keyRing.seal(clientSecret, secretAt(next, 'clientSecret')),
      nextClientSecret: rebindNextSecret(keyRing, row, next),
      envDigest,
      lastErrorCode: null,
      lastErrorAt: null,
      updatedAt: sql<Date>`clock_timestamp()`,
    })
    .where('name', '=', name)
    .execute()
}
