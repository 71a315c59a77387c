import { pino } from 'pino'
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
  type TestSandbox,
} from './broker.ts'
import { query } from './database.ts'

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
      })
    }
  })
  await database.close()
}

/** All accounts of the database are due at this moment. */
export async function makeAllDue(databaseUrl: string): Promise<void> {
  await query(databaseUrl, `update amo_tokens set "refreshAt" = now(), "nextAttemptAt" = now()`)
}
