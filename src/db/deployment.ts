import { randomBytes } from 'node:crypto'
import { type Kysely, sql } from 'kysely'
import type { KeyRing } from '../vault/key-ring.ts'
import { ROOT_SECRET_AT } from '../vault/sealed-places.ts'
import type { Secret } from '../vault/secret.ts'
import type { Tables } from './tables.ts'

const ROOT_SECRET_BYTES = 32

/** Returns the deployment that the database is bound to now. */
export async function findBoundTo(db: Kysely<Tables>): Promise<string> {
  const row = await db.selectFrom('amo_deployment').select('deploymentId').executeTakeFirstOrThrow()
  return row.deploymentId
}

interface Deployment {
  /** The root of all keyed hashes. */
  rootSecret: Secret
  /** The deployment that the database is bound to. Claims of another one are refused. */
  boundTo: string
}

/**
 * Binds a new database to this deployment, or reads which deployment it belongs to. Brokers of
 * another deployment start on it and serve existing tokens; their claims are refused, so they send
 * no refresh token.
 */
export async function bindDeployment(
  db: Kysely<Tables>,
  keyRing: KeyRing,
  deploymentId: string,
): Promise<Deployment> {
  // A database that accepts no writes now may be bound already.
  const bound = await db.selectFrom('amo_deployment').select('onlyRow').executeTakeFirst()
  if (bound !== undefined) return readDeployment(db, keyRing)
  const rootSecret = keyRing.seal(randomBytes(ROOT_SECRET_BYTES).toString('base64'), ROOT_SECRET_AT)
  await db
    .insertInto('amo_deployment')
    .values({ deploymentId, rootSecret })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  return readDeployment(db, keyRing)
}

/** Adds to the ids of keys that values were ever sealed under, and returns all of them. */
export async function recordUsedKeys(
  db: Kysely<Tables>,
  ids: readonly string[],
): Promise<ReadonlySet<string>> {
  await sql`
    update amo_deployment
    set "usedKeys" = array(select distinct unnest("usedKeys" || ${ids}::text[]) order by 1)
    where not "usedKeys" @> ${ids}::text[]
  `.execute(db)
  return findUsedKeys(db)
}

/** Returns the ids of keys that values were ever sealed under. */
export async function findUsedKeys(db: Kysely<Tables>): Promise<ReadonlySet<string>> {
  const row = await db.selectFrom('amo_deployment').select('usedKeys').executeTakeFirst()
  return new Set(row?.usedKeys)
}

/** Reads the deployment of a database that is bound. Throws `KeyMissing`. */
export async function readDeployment(db: Kysely<Tables>, keyRing: KeyRing): Promise<Deployment> {
  const row = await db.selectFrom('amo_deployment').selectAll().executeTakeFirstOrThrow()
  return {
    rootSecret: keyRing.open(row.rootSecret, ROOT_SECRET_AT),
    boundTo: row.deploymentId,
  }
}
