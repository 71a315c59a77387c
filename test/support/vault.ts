import { randomBytes } from 'node:crypto'
import type { Kysely } from 'kysely'
import { pino } from 'pino'
import { bindDeployment } from '../../src/db/deployment.ts'
import { openPostgres } from '../../src/db/postgres.ts'
import type { Tables } from '../../src/db/tables.ts'
import { systemClock } from '../../src/lib/clock.ts'
import type { CommitContext } from '../../src/pairs/commit-context.ts'
import { KeyRing } from '../../src/vault/key-ring.ts'
import { KeyedHash } from '../../src/vault/keyed-hash.ts'
import { Secret } from '../../src/vault/secret.ts'
import type { TeardownScope } from './teardown-scope.ts'

/**
 * Gives the harness the brokers' database and keys, to onboard accounts and to open sealed values.
 */
export interface Vault {
  databaseUrl: string
  deploymentId: string
  encryptionKeys: string
  keyRing: KeyRing
  db: Kysely<Tables>
  commitContext: CommitContext
}

/** Binds the database to the deployment of this run. */
export async function openVault(
  scope: TeardownScope,
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
  const commitContext = {
    claims: database.claims,
    owner: 'test',
    keyRing,
    fingerprints,
    clock: systemClock,
  }
  return { databaseUrl, deploymentId, encryptionKeys, keyRing, db: database.db, commitContext }
}
