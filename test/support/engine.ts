import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import type { Test } from 'tap'
import type { AccountKey } from '../../src/accounts/account-key.ts'
import { tokenAt } from '../../src/accounts/sealed-tokens.ts'
import { type Config, loadConfig } from '../../src/config.ts'
import { bindDeployment } from '../../src/db/deployment.ts'
import { openPostgres } from '../../src/db/postgres.ts'
import type { Answer } from '../../src/refresh/answer.ts'
import type { Claim, Claimant } from '../../src/refresh/claim.ts'
import type { Committer } from '../../src/refresh/commit.ts'
import { KeyedHash } from '../../src/vault/keyed-hash.ts'
import { Secret } from '../../src/vault/secret.ts'
import { ENCRYPTION_KEYS } from './broker.ts'
import { createDatabase, query } from './database.ts'

export const DEPLOYMENT = 'test'
export const KEY: AccountKey = { integration: 'amocrm', accountId: 30878000 }

/** A migrated database with one integration and one account whose token is due, and what claims are made with. */
export interface Ledger {
  databaseUrl: string
  claimant: Claimant
  committer: Committer
  /** Another process start on the same database. */
  other: Claimant
  config: Config
  /** A pair that arrived under a claim. */
  answerFor(claim: Claim): Answer
  addAccount(key: AccountKey, dueInSeconds: number): Promise<number>
}

export async function createLedger(t: Test): Promise<Ledger> {
  const databaseUrl = await createDatabase(t)
  const dataDir = mkdtempSync(join(tmpdir(), 'amo-test-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  const config = await loadConfig({
    DATABASE_URL: databaseUrl,
    DEPLOYMENT_ID: DEPLOYMENT,
    OPERATOR_KEY: 'x'.repeat(24),
    ENCRYPTION_KEYS,
    DATA_DIR: dataDir,
  })
  const url = new Secret(databaseUrl)
  const database = openPostgres(url, url, pino({ level: 'silent' }))
  t.teardown(() => database.close())
  const { rootSecret } = await bindDeployment(database.db, config.keyRing, DEPLOYMENT)
  const fingerprints = new KeyedHash(() => rootSecret, 'fingerprint')
  const committer = { claims: database.claims, keyRing: config.keyRing, fingerprints }
  await query(
    databaseUrl,
    `insert into amo_integrations (name, provider, "clientId", "clientSecret", "redirectUri")
     values ('amocrm', 'amocrm', 'id', 'sealed', 'https://broker.example/callback')`,
  )
  const claimant = {
    claims: database.claims,
    owner: randomUUID(),
    deploymentId: DEPLOYMENT,
    keyIds: config.keyRing.keyIds,
    sendLimitMs: 30_000,
    settleMs: 60_000,
    breakerMs: 30_000,
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
    claimant,
    committer,
    other: { ...claimant, owner: randomUUID() },
    config,
    addAccount,
    answerFor: ({ integration, accountId, attemptId, generation, fingerprint }) => ({
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
