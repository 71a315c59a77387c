import { randomBytes, randomUUID } from 'node:crypto'
import { secretAt } from '../src/integrations/store.ts'
import { domainOf } from '../src/sandbox/directory.ts'
import { buildSandbox, type Sandbox } from '../src/sandbox/sandbox.ts'
import { createDatabase, query } from '../test/support/database.ts'
import type { Scope } from '../test/support/scope.ts'
import { onboard, type Subject } from '../test/support/subjects.ts'
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
  /** Accounts whose tokens are real, in the order of their ids. */
  subjects: Subject[]
}

export interface WorldOptions {
  folder: string
  redisUrl: string
  /** With tokens of their own that open. */
  accounts: number
  /** Further rows of the same shape and size that nobody reads, whose tokens open nothing. */
  bystanders?: number
  pacePerSecond?: number
}

export async function makeWorld(scope: Scope, options: WorldOptions): Promise<World> {
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
  await vault.db
    .insertInto('amo_integrations')
    .values({
      name: INTEGRATION,
      provider: 'amocrm',
      clientId: client.clientId,
      clientSecret: vault.keyRing.seal(client.clientSecret, secretAt(INTEGRATION, 'clientSecret')),
      redirectUri: client.redirectUri,
      sandboxOrigin: await sandbox.listen(),
      pacePerSecond,
    })
    .execute()
  const subjects: Subject[] = []
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
 * Copies of one row under other ids, domains, generations and fingerprints, their plans spread over a day. Like a fleet that
 * has stood for a while: most of it is not read and idle.
 */
async function addBystanders(databaseUrl: string, count: number): Promise<void> {
  // A notification for each of a million rows would have to fit into one transaction's queue.
  await query(databaseUrl, 'alter table amo_tokens disable trigger user')
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
}

/** A sibling service's key to all accounts of the world, as the header that it sends. */
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

/** What a sibling asks for, account by account. */
export function pathsOf(subjects: Subject[]): string[] {
  return subjects.map(({ account }) => `/tokens/${domainOf(account)}`)
}
