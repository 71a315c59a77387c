import { randomBytes } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { KeyRing } from '../vault/key-ring.ts'
import type { Secret } from '../vault/secret.ts'
import type { Tables } from './tables.ts'

const ROOT_SECRET_BYTES = 32
/** The sealed place of the root of all keyed hashes. */
export const ROOT_SECRET_AT = {
  table: 'amo_deployment',
  row: 'only',
  column: 'rootSecret',
  generation: 0,
}

/** The deployment that the database is bound to at this moment. */
export async function findBoundTo(db: Kysely<Tables>): Promise<string> {
  const row = await db.selectFrom('amo_deployment').select('deploymentId').executeTakeFirstOrThrow()
  return row.deploymentId
}

export interface Deployment {
  /** The root of all keyed hashes. */
  rootSecret: Secret
  /** The deployment that the database is bound to. Another one must not refresh: the claim refuses it. */
  boundTo: string
}

/**
 * Binds an empty database to this deployment, or reads which one it belongs to. A copied or restored
 * database, started elsewhere under another DEPLOYMENT_ID, so spends no refresh token.
 */
export async function bindDeployment(
  db: Kysely<Tables>,
  keyRing: KeyRing,
  deploymentId: string,
): Promise<Deployment> {
  const rootSecret = keyRing.seal(randomBytes(ROOT_SECRET_BYTES).toString('base64'), ROOT_SECRET_AT)
  await db
    .insertInto('amo_deployment')
    .values({ deploymentId, rootSecret })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  return readDeployment(db, keyRing)
}

/** Of a database that is bound. Throws `KeyMissing`. */
export async function readDeployment(db: Kysely<Tables>, keyRing: KeyRing): Promise<Deployment> {
  const row = await db.selectFrom('amo_deployment').selectAll().executeTakeFirstOrThrow()
  return {
    rootSecret: keyRing.open(row.rootSecret, ROOT_SECRET_AT),
    boundTo: row.deploymentId,
  }
}
