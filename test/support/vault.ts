import { randomBytes } from 'node:crypto'
import type { Kysely } from 'kysely'
import { pino } from 'pino'
import { bindDeployment } from '../../src/db/deployment.ts'
import { openPostgres } from '../../src/db/postgres.ts'
import type { Tables } from '../../src/db/tables.ts'
import type { Committer } from '../../src/refresh/commit.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { KeyedHash } from '../../src/vault/keyed-hash.ts'
import { Secret } from '../../src/vault/secret.ts'
import type { Scope } from './scope.ts'

/** The brokers' database and keys in the harness's own hands: to onboard, and to open at the end what was sealed. */
export interface Vault {
  databaseUrl: string
  deploymentId: string
  encryptionKeys: string
  keyRing: KeyRing
  db: Kysely<Tables>
  committer: Committer
}

/** Binds the database to the deployment of this run. */
export async function openVault(
  scope: Scope,
  databaseUrl: string,
  deploymentId: string,
  encryptionKeys = `torture:${randomBytes(32).toString('base64')}`,
): Promise<Vault> {
  const url = new Secret(databaseUrl)
  const database = openPostgres(url, url, pino({ level: 'silent' }))
  scope.teardown(() => database.close())
  const keyRing = KeyRing.parse(encryptionKeys)
  const { rootSecret } = await bindDeployment(database.db, keyRing, deploymentId)
  const fingerprints = new KeyedHash(() => rootSecret, 'fingerprint')
  const committer = { claims: database.claims, keyRing, fingerprints }
  return { databaseUrl, deploymentId, encryptionKeys, keyRing, db: database.db, committer }
}
