import { randomBytes, randomUUID } from 'node:crypto'
import { pino } from 'pino'
import type { Test } from 'tap'
import type { Claim } from '../../src/claims/claim.ts'
import type { ClaimContext } from '../../src/claims/claim-context.ts'
import { type Config, loadConfig } from '../../src/config/load-config.ts'
import { bindDeployment } from '../../src/db/deployment.ts'
import { openPostgres } from '../../src/db/postgres.ts'
import type { AccountKey } from '../../src/lib/account-key.ts'
import { systemClock } from '../../src/lib/clock.ts'
import type { CommitContext } from '../../src/pairs/commit-context.ts'
import type { ReceivedPair } from '../../src/pairs/received-pair.ts'
import { KeyedHash } from '../../src/vault/keyed-hash.ts'
import { tokenAt } from '../../src/vault/sealed-places.ts'
import { Secret } from '../../src/vault/secret.ts'
import { ENCRYPTION_KEYS, OPERATOR_KEY } from './broker.ts'
import { makeDataDir } from './data-dir.ts'
import { createDatabase, query } from './database.ts'

export const DEPLOYMENT = 'test'
/** The integration of a ledger. */
export const LEDGER_INTEGRATION = {
  name: 'amocrm',
  provider: 'amocrm',
  clientId: 'id',
  redirectUri: 'https://broker.example/callback',
  sandboxOrigin: null,
  profile: {},
}
export const KEY: AccountKey = { integration: 'amocrm', accountId: 30878000 }

/**
 * A migrated database with one integration and one account that is due, and the context of two
 * brokers that use it.
 */
export interface Ledger {
  databaseUrl: string
  claimContext: ClaimContext
  commitContext: CommitContext
  /** The context of another process start on the same database. */
  other: ClaimContext
  config: Config
  /** Makes a pair that was received under this claim. */
  receivedFor(claim: Claim): ReceivedPair
  /** Adds an active account and returns its generation. */
  addAccount(key: AccountKey, dueInSeconds: number): Promise<number>
}

export async function createLedger(t: Test): Promise<Ledger> {
  const databaseUrl = await createDatabase(t)
  const dataDir = makeDataDir(t)
  const config = await loadConfig({
    DATABASE_URL: databaseUrl,
    DEPLOYMENT_ID: DEPLOYMENT,
    OPERATOR_KEY,
    ENCRYPTION_KEYS,
    DATA_DIR: dataDir,
  })
  const url = new Secret(databaseUrl)
  const database = openPostgres(url, url, pino({ level: 'silent' }))
  t.teardown(() => database.close())
  const { rootSecret } = await bindDeployment(database.db, config.keyRing, DEPLOYMENT)
  const fingerprints = new KeyedHash(() => rootSecret, 'fingerprint')
  const commitContext = {
    claims: database.claims,
    owner: 'test',
    keyRing: config.keyRing,
    fingerprints,
    clock: systemClock,
  }
  await query(
    databaseUrl,
    `insert into amo_integrations (name, provider, "clientId", "clientSecret", "redirectUri")
     values ('amocrm', 'amocrm', 'id', 'sealed', 'https://broker.example/callback')`,
  )
  const claimContext = {
    claims: database.claims,
    owner: randomUUID(),
    deploymentId: DEPLOYMENT,
    keyIds: config.keyRing.keyIds,
    limits: {
      sendLimitMs: 30_000,
      lingerMs: 300_000,
      settleMs: 60_000,
      breakerMs: 30_000,
      minRestMs: 5_000,
    },
    hasSecondPlace: () => true,
    hasGap: () => false,
    clock: systemClock,
  }
  const addAccount = async (key: AccountKey, dueInSeconds: number) => {
    const [row] = await query(databaseUrl, `select nextval('amo_generation') as generation`)
    const generation = Number(row?.generation)
    const refreshToken = `def502-${randomBytes(8).toString('hex')}`
    const at = { ...key, generation }
    await query(
      databaseUrl,
      `insert into amo_tokens (integration, "accountId", domain, status, "approvedAt", "accessToken", "refreshToken",
         "refreshTokenFingerprint", generation, "issuedAt", "expiresAt", "refreshAt", "nextAttemptAt")
       values ($1, $2, $3, 'active', now(), $4, $5, $6, $7, now(), now() + interval '1 hour',
         now() + $8 * interval '1 second', now() + $8 * interval '1 second')`,
      [
        key.integration,
        key.accountId,
        `a${key.accountId}.amocrm.ru`,
        config.keyRing.seal('access', tokenAt(at, 'accessToken')),
        config.keyRing.seal(refreshToken, tokenAt(at, 'refreshToken')),
        fingerprints.of(refreshToken),
        generation,
        dueInSeconds,
      ],
    )
    return generation
  }
  await addAccount(KEY, -1)
  return {
    databaseUrl,
    claimContext,
    commitContext,
    other: { ...claimContext, owner: randomUUID() },
    config,
    addAccount,
    receivedFor: ({ integration, accountId, attemptId, generation, fingerprint }) => ({
      integration,
      accountId,
      attemptId,
      generation,
      fingerprint,
      pair: {
        accessToken: new Secret(`access-${randomBytes(8).toString('hex')}`),
        refreshToken: new Secret(`refresh-${randomBytes(8).toString('hex')}`),
        lifetimeSeconds: 3600,
        claims: undefined,
      },
      sentAtMs: Date.now(),
    }),
  }
}
