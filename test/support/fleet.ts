import { pino } from 'pino'
import type { Test } from 'tap'
import { loadConfig } from '../../src/config.ts'
import { bindDeployment } from '../../src/db/deployment.ts'
import { openPostgres } from '../../src/db/postgres.ts'
import { storeOnboarded } from '../../src/onboarding/store.ts'
import { domainOf } from '../../src/sandbox/directory.ts'
import { KeyedHash } from '../../src/vault/keyed-hash.ts'
import { Secret } from '../../src/vault/secret.ts'
import {
  CLIENT_ID,
  deploymentOf,
  ENCRYPTION_KEYS,
  OPERATOR_KEY,
  startBroker,
  startSandbox,
  type TestBroker,
  type TestSandbox,
} from './broker.ts'
import { createDatabase, query } from './database.ts'
import { freePorts } from './ports.ts'

export interface Fleet {
  databaseUrl: string
  sandbox: TestSandbox
  /** A broker of this fleet's integration, on this database or on another. */
  start(env?: Record<string, string>, databaseUrl?: string): Promise<TestBroker>
}

/** A database with that many accounts, which a broker has served and left. */
export async function fleetOf(t: Test, size: number): Promise<Fleet> {
  const databaseUrl = await createDatabase(t)
  const [internal = 0, open = 0] = await freePorts(2)
  const sandbox = await startSandbox(t, { publicPort: open })
  const start: Fleet['start'] = (env = {}, url = databaseUrl) =>
    startBroker(t, {
      databaseUrl: url,
      sandbox,
      // Copies of answers lie in Redis for days and would undo what is shown here.
      redis: null,
      ports: [internal, open],
      env: { LOG_LEVEL: 'info', ...env },
    })
  const first = await start({ HOLD_SENDS: 'true' })
  await addFleet(databaseUrl, sandbox, size)
  await first.stop()
  return { databaseUrl, sandbox, start }
}

/** Connects that many accounts at once, as consents would have; a broker has to have made the integration. */
export async function addFleet(
  databaseUrl: string,
  { world }: TestSandbox,
  size: number,
): Promise<void> {
  const { keyRing } = await loadConfig({
    DATABASE_URL: databaseUrl,
    DEPLOYMENT_ID: deploymentOf(databaseUrl),
    OPERATOR_KEY,
    ENCRYPTION_KEYS,
  })
  const url = new Secret(databaseUrl)
  const database = openPostgres(url, url, pino({ level: 'silent' }))
  const { rootSecret } = await bindDeployment(database.db, keyRing, deploymentOf(databaseUrl))
  const fingerprints = new KeyedHash(() => rootSecret, 'fingerprint')
  const committer = { claims: database.claims, keyRing, fingerprints }
  const integration = world.directory.integrations.get(CLIENT_ID)
  if (integration === undefined) throw new Error('the sandbox knows no such integration')
  await database.claims.transaction().execute(async (trx) => {
    for (let index = 0; index < size; index += 1) {
      const account = world.addAccount({ platform: 'amocrm', subdomain: `fleet-${index}` })
      const minted = world.grants.mintPair(account, integration)
      await storeOnboarded(committer, trx, {
        integration: 'amocrm',
        accountId: account.accountId,
        domain: domainOf(account),
        apiDomain: account.apiDomain,
        pair: {
          accessToken: new Secret(minted.accessToken),
          refreshToken: new Secret(minted.refreshToken),
          lifetimeSeconds: minted.expiresIn,
          claims: undefined,
        },
        issuedAt: new Date(minted.serverTime * 1000),
        sentAtMs: minted.serverTime * 1000,
        isExpected: true,
      })
    }
  })
  await database.close()
}

/** All accounts of the database are due at this moment. */
export async function makeAllDue(databaseUrl: string): Promise<void> {
  await query(databaseUrl, `update amo_tokens set "refreshAt" = now(), "nextAttemptAt" = now()`)
}
