import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { storeOnboarded } from '../../src/pairs/onboard-pair.ts'
import { findPair } from '../../src/provider/token-endpoint.ts'
import { type Account, domainOf, type Integration } from '../../src/sandbox/directory.ts'
import type { Platform } from '../../src/sandbox/hosts.ts'
import type { Sandbox } from '../../src/sandbox/sandbox.ts'
import { secretAt } from '../../src/vault/sealed-places.ts'
import type { TeardownScope } from './teardown-scope.ts'
import type { Vault } from './vault.ts'

const PLATFORMS: Platform[] = ['amocrm', 'kommo']
const CALLBACK = 'http://127.0.0.1:1/callback'

/** An account of the sandbox whose tokens the brokers refresh. */
export interface SandboxAccount {
  accountId: number
  /** The integration's name in the brokers' database. */
  integration: string
  account: Account
  client: Integration
}

/**
 * Creates integrations and their accounts in the sandbox, and the integrations in the brokers'
 * database. Each integration reaches the sandbox at its own address, so that a breaker for one
 * address does not stop all.
 */
export async function createSandboxAccounts(
  scope: TeardownScope,
  { sandbox, vault }: { sandbox: Sandbox; vault: Vault },
  { integrations, accounts }: { integrations: number; accounts: number },
): Promise<SandboxAccount[]> {
  const subjects: SandboxAccount[] = []
  for (let index = 0; index < integrations; index++) {
    const platform = PLATFORMS[index % PLATFORMS.length] ?? 'amocrm'
    const integration = `t${index + 1}`
    const client = sandbox.world.addIntegration({
      platform,
      clientId: randomUUID(),
      clientSecret: `torture-secret-${index + 1}`,
      redirectUri: CALLBACK,
    })
    const sandboxOrigin = await listenOnAnotherPort(scope, sandbox)
    const { clientId, redirectUri } = client
    const row = { name: integration, provider: platform, clientId, redirectUri, sandboxOrigin }
    const place = secretAt({ ...row, profile: {} }, 'clientSecret')
    await vault.db
      .insertInto('amo_integrations')
      .values({ ...row, clientSecret: vault.keyRing.seal(client.clientSecret, place) })
      .execute()
    for (let nth = index; nth < accounts; nth += integrations) {
      const accountId = 30_000_000 + nth
      const account = sandbox.world.addAccount({ platform, subdomain: `s${nth}`, accountId })
      subjects.push({ accountId, integration, account, client })
    }
  }
  return subjects
}

/** Opens another port of the sandbox, and returns its address. */
async function listenOnAnotherPort(scope: TeardownScope, { app }: Sandbox): Promise<string> {
  await app.ready()
  const door = createServer((request, response) => app.routing(request, response))
  await new Promise<void>((listening) => door.listen(0, '127.0.0.1', listening))
  scope.teardown(() => {
    door.closeAllConnections()
    door.close()
  })
  return `http://127.0.0.1:${(door.address() as AddressInfo).port}`
}

/**
 * Creates a new grant in the sandbox and stores it as the onboarding does after a consent. The
 * first token lives `lifetimeSeconds`; later ones live as long as the sandbox is configured.
 */
export async function onboard(
  { sandbox, vault }: { sandbox: Sandbox; vault: Vault },
  { account, client, integration, accountId }: SandboxAccount,
  lifetimeSeconds?: number,
): Promise<void> {
  const sentAtMs = Date.now()
  const minted = sandbox.world.grants.mintPair(account, client, {
    accessTtlSeconds: lifetimeSeconds,
  })
  const pair = findPair(
    JSON.stringify({
      access_token: minted.accessToken,
      refresh_token: minted.refreshToken,
      expires_in: minted.expiresIn,
    }),
  )
  if (pair?.claims === undefined)
    throw new Error('the sandbox returned a pair that cannot be parsed')
  const onboarded = {
    integration,
    accountId,
    domain: domainOf(account),
    apiDomain: pair.claims.apiDomain ?? null,
    pair,
    issuedAt: new Date((pair.claims.issuedAtSeconds ?? 0) * 1000),
    sentAtMs,
    isExpected: true,
  }
  await vault.db.transaction().execute((trx) => storeOnboarded(vault.commitContext, trx, onboarded))
}
