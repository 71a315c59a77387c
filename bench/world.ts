import { randomBytes, randomUUID } from 'node:crypto'
import { domainOf } from '../src/sandbox/directory.ts'
import { buildSandbox, type Sandbox } from '../src/sandbox/sandbox.ts'
import { secretAt } from '../src/vault/sealed-places.ts'
import { createDatabase, query } from '../test/support/database.ts'
import { onboard, type SandboxAccount } from '../test/support/sandbox-accounts.ts'
import type { TeardownScope } from '../test/support/teardown-scope.ts'
import { openVault, type Vault } from '../test/support/vault.ts'

export const INTEGRATION = 'bench'
const FIRST_ACCOUNT = 30_000_000
const LIFETIME_SECONDS = 86_400

/** A database with accounts, and the provider that they belong to. */
export interface World {
  folder: string
  databaseUrl: string
  redisUrl: string
  operatorKey: string
  pacePerSecond: number
  vault: Vault
  sandbox: Sandbox
  /** Accounts with real tokens, in the order of their ids. */
  subjects: SandboxAccount[]
}

export interface WorldOptions {
  folder: string
  redisUrl: string
  /** Number of accounts with real tokens. */
  accounts: number
  /**
   * Number of further rows of the same shape and size. They are never read, and their tokens cannot
   * be decrypted.
   */
  bystanders?: number
  pacePerSecond?: number
}

export async function makeWorld(scope: TeardownScope, options: WorldOptions): Promise<World> {
  const { folder, redisUrl, accounts, bystanders = 0, pacePerSecond = 2 } = options
  const databaseUrl = await createDatabase(scope)
  const vault = await openVault(scope, databaseUrl, `bench-${randomUUID()}`)
  const sandbox = await buildSandbox({ limits: false, accessTtlSeconds: LIFETIME_SECONDS })
  scope.teardown(() => sandbox.close())
  const client = sandbox.world.addIntegration({
    platform: 'amocrm',
    clientId: randomUUID(),
    clientSecret: randomBytes(24).toString('base64url'),
    redirectUri: 'http://127.0.0.1:1/callback',
  })
  const row = {
    name: INTEGRATION,
    provider: 'amocrm' as const,
    clientId: client.clientId,
    redirectUri: client.redirectUri,
    sandboxOrigin: await sandbox.listen(),
  }
  const place = secretAt({ ...row, profile: {} }, 'clientSecret')
  await vault.db
    .insertInto('amo_integrations')
    .values({
      ...row,
      clientSecret: vault.keyRing.seal(client.clientSecret, place),
      pacePerSecond,
    })
    .execute()
  const subjects: SandboxAccount[] = []
  for (let nth = 0; nth < accounts; nth += 1) {
    const accountId = FIRST_ACCOUNT + nth
    const account = sandbox.world.addAccount({
      platform: 'amocrm',
      subdomain: `s${nth}`,
      accountId,
    })
    const subject = { accountId, integration: INTEGRATION, account, client }
    await onboard({ sandbox, vault }, subject)
    subjects.push(subject)
  }
  if (bystanders > 0) await addBystanders(databaseUrl, bystanders)
  await query(databaseUrl, 'vacuum analyze amo_tokens')
  const operatorKey = `amo_op_${randomBytes(24).toString('base64url')}`
  return { folder, databaseUrl, redisUrl, operatorKey, pacePerSecond, vault, sandbox, subjects }
}

/**
 * Copies one row under other ids, domains, generations and fingerprints, with plans spread over a
 * day. Most accounts of a fleet are idle, so nine of ten copies are.
 */
async function addBystanders(databaseUrl: string, count: number): Promise<void> {
  // Otherwise a million notifications would have to fit into the queue of one transaction.
  await query(databaseUrl, 'alter table amo_tokens disable trigger user')
  const indexes = await dropIndexes(databaseUrl)
  await query(
    databaseUrl,
    `insert into amo_tokens (integration, "accountId", domain, "apiDomain", status, "approvedAt", "accessToken",
      "refreshToken", "refreshTokenFingerprint", generation, "issuedAt", "expiresAt", "refreshAt", "nextAttemptAt",
      "refreshTokenExpiresAt", "lastReadAt")
    select integration, ${2 * FIRST_ACCOUNT} + n, 'b' || n || '.amocrm.ru', "apiDomain", status, "approvedAt",
      "accessToken", "refreshToken", md5(n::text) || md5('f' || n), nextval('amo_generation'), "issuedAt",
      "expiresAt", "refreshAt",
      -- Nine of ten are idle: planned a month ahead.
      "refreshAt" + n % 86400 * interval '1 second' + case when n % 10 = 0 then '1 hour' else '29 days' end::interval,
      "refreshTokenExpiresAt", case when n % 10 = 0 then now() end
    from (select * from amo_tokens order by "accountId" limit 1) model, generate_series(1, ${count}) n`,
  )
  await query(databaseUrl, 'alter table amo_tokens enable trigger user')
  for (const index of indexes) await query(databaseUrl, index)
}

/**
 * Drops the indexes that no constraint needs, and returns the statements that create them again.
 */
async function dropIndexes(databaseUrl: string): Promise<string[]> {
  const rows = await query<{ name: string; definition: string }>(
    databaseUrl,
    `select indexname as name, indexdef as definition from pg_indexes
     where tablename = 'amo_tokens' and indexdef not like 'CREATE UNIQUE%'`,
  )
  for (const { name } of rows) await query(databaseUrl, `drop index ${name}`)
  return rows.map(({ definition }) => definition)
}

/**
 * Creates a key of a sibling service that may read all accounts. Returns the header that it sends.
 */
export async function sibling(world: World, origin: string): Promise<string> {
  const name = `sibling-${randomBytes(4).toString('hex')}`
  const answer = await fetch(`${origin}/clients`, {
    method: 'POST',
    headers: { authorization: `Bearer ${world.operatorKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      name,
      role: 'reader',
      grants: [{ integration: INTEGRATION, account: '*' }],
    }),
  })
  if (answer.status !== 201) throw new Error(`POST /clients: ${await answer.text()}`)
  const { key } = (await answer.json()) as { key: string }
  return `Bearer ${key}`
}

/** Returns the path of each account's token. */
export function pathsOf(subjects: SandboxAccount[]): string[] {
  return subjects.map(({ account }) => `/tokens/${domainOf(account)}`)
}

/** Signs in to the console. Returns the cookies that a browser would keep. */
export async function signIn(origin: string, key: string): Promise<string> {
  const response = await fetch(`${origin}/console/sign-in`, {
    method: 'POST',
    body: new URLSearchParams({ key }),
    headers: { 'sec-fetch-site': 'same-origin' },
    redirect: 'manual',
  })
  if (response.status !== 303) throw new Error(`not signed in: ${response.status}`)
  return response.headers
    .getSetCookie()
    .map((line) => line.split(';')[0])
    .join('; ')
}
