import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { secretAt } from '../../src/integrations/store.ts'
import { storeOnboarded } from '../../src/onboarding/store.ts'
import { findPair } from '../../src/provider/token-endpoint.ts'
import { type Account, domainOf, type Integration } from '../../src/sandbox/directory.ts'
import type { Platform } from '../../src/sandbox/hosts.ts'
import type { Sandbox } from '../../src/sandbox/sandbox.ts'
import type { Scope } from './scope.ts'
import type { Vault } from './vault.ts'

const PLATFORMS: Platform[] = ['amocrm', 'kommo']
const CALLBACK = 'http://127.0.0.1:1/callback'

/** An account of the sandbox that the brokers keep alive. */
export interface Subject {
  accountId: number
  /** Its name at the brokers. */
  integration: string
  account: Account
  client: Integration
}

/**
 * Makes integrations and their accounts, at the sandbox and in the brokers' database. Each integration reaches the sandbox at
 * an address of its own, so that what stops one of them does not stop all.
 */
export async function createSubjects(
  scope: Scope,
  { sandbox, vault }: { sandbox: Sandbox; vault: Vault },
  { integrations, accounts }: { integrations: number; accounts: number },
): Promise<Subject[]> {
  const subjects: Subject[] = []
  for (let index = 0; index < integrations; index++) {
    const platform = PLATFORMS[index % PLATFORMS.length] ?? 'amocrm'
    const integration = `t${index + 1}`
    const client = sandbox.world.addIntegration({
      platform,
      clientId: randomUUID(),
      clientSecret: `torture-secret-${index + 1}`,
      redirectUri: CALLBACK,
    })
    const sandboxOrigin = await openDoor(scope, sandbox)
    await vault.db
      .insertInto('amo_integrations')
      .values({
        name: integration,
        provider: platform,
        clientId: client.clientId,
        clientSecret: vault.keyRing.seal(
          client.clientSecret,
          secretAt(integration, 'clientSecret'),
        ),
        redirectUri: client.redirectUri,
        sandboxOrigin,
      })
      .execute()
    for (let nth = index; nth < accounts; nth += integrations) {
      const accountId = 30_000_000 + nth
      const account = sandbox.world.addAccount({ platform, subdomain: `s${nth}`, accountId })
      subjects.push({ accountId, integration, account, client })
    }
  }
  return subjects
}

/** Another address of the same sandbox. */
export async function openDoor(scope: Scope, { app }: Sandbox): Promise<string> {
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
 * A person consents, as far as the brokers' database can tell: a new grant at the provider, stored as the onboarding stores it. The
 * first token lives `lifetimeSeconds`, the ones that follow as long as the sandbox says.
 */
export async function onboard(
  { sandbox, vault }: { sandbox: Sandbox; vault: Vault },
  { account, client, integration, accountId }: Subject,
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
  if (pair?.claims === undefined) throw new Error('the sandbox made a pair that nobody can read')
  const onboarded = {
    integration,
    accountId,
    domain: domainOf(account),
    apiDomain: pair.claims.apiDomain ?? null,
    pair,
    issuedAt: new Date(pair.claims.issuedAtSeconds * 1000),
    sentAtMs,
    isExpected: true,
  }
  await vault.db.transaction().execute((trx) => storeOnboarded(vault.committer, trx, onboarded))
}
