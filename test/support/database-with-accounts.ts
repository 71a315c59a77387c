import { pino } from 'pino'
import { loadConfig } from '../../src/config/load-config.ts'
import { bindDeployment } from '../../src/db/deployment.ts'
import { openPostgres } from '../../src/db/postgres.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { storeOnboarded } from '../../src/pairs/onboard-pair.ts'
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
import type { TeardownScope } from './teardown-scope.ts'

export interface DatabaseWithAccounts {
  databaseUrl: string
  sandbox: TestSandbox
  /** The redirect URI of the integration leads to the second one. */
  ports: [internal: number, open: number]
  /** Starts a broker with the integration of these accounts, on this database or on another one. */
  start(env?: Record<string, string>, databaseUrl?: string): Promise<TestBroker>
}

/** Creates a database with `size` accounts. The broker that migrated it has stopped. */
export async function createDatabaseWithAccounts(
  t: TeardownScope,
  size: number,
): Promise<DatabaseWithAccounts> {
  const databaseUrl = await createDatabase(t)
  const [internal = 0, open = 0] = await freePorts(2)
  const sandbox = await startSandbox(t, { publicPort: open })
  const start: DatabaseWithAccounts['start'] = (env = {}, url = databaseUrl) =>
    startBroker(t, {
      databaseUrl: url,
      sandbox,
      // Redis keeps copies of responses for days, from which a broker would restore token pairs.
      redis: null,
      ports: [internal, open],
      env: { LOG_LEVEL: 'info', ...env },
    })
  const first = await start({ HOLD_SENDS: 'true' })
  await addAccounts(databaseUrl, sandbox, size)
  await first.stop()
  return { databaseUrl, sandbox, ports: [internal, open], start }
}

/**
 * Stores `size` accounts as if their users had consented. A broker must have stored the
 * integration.
 */
export async function addAccounts(
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
  const commitContext = {
    claims: database.claims,
    owner: 'test',
    keyRing,
    fingerprints,
    clock: systemClock,
  }
  const integration = world.directory.integrations.get(CLIENT_ID)
  if (integration === undefined) throw new Error('the sandbox knows no such integration')
  await database.claims.transaction().execute(async (trx) => {
    for (let index = 0; index < size; index += 1) {
      const account = world.addAccount({ platform: 'amocrm', subdomain: `fleet-${index}` })
      const minted = world.grants.mintPair(account, integration)
      await storeOnboarded(commitContext, trx, {
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

/** Makes every account of the database due for a refresh now. */
export async function makeAllDue(databaseUrl: string): Promise<void> {
  await query(databaseUrl, `update amo_tokens set "refreshAt" = now(), "nextAttemptAt" = now()`)
}
