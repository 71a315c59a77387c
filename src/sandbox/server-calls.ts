import { createHmac, randomBytes, randomUUID } from 'node:crypto'
import { callbackUrl, exchangeUrl, installUrl } from './callback-urls.ts'
import type { Account, Integration } from './directory.ts'
import type { OutboundResult } from './outbound.ts'
import type { World } from './world.ts'

export interface ExternalRequest {
  account: Account
  redirectUri: string
  secretsUri: string
  state: string
  name: string
  scopes: string[]
  encoding: 'json' | 'form'
  /** How `scopes` is written: both have been seen (provider.md 9). */
  scopesAs: 'array' | 'string'
}

export interface ExternalResult {
  call: OutboundResult
  /** Undefined when the secrets were not answered with exactly 200. */
  integration: Integration | undefined
  redirectUrl: string | undefined
}

// Our own guess of a webhook's patience; nothing but the install's three seconds is documented.
const HOOK_BUDGET_MS = 5_000

/** The signature of the disconnect hook: lower-case hex HMAC-SHA256 (provider.md 8). */
export function signDisconnect(clientSecret: string, clientId: string, accountId: number): string {
  return createHmac('sha256', clientSecret).update(`${clientId}|${accountId}`).digest('hex')
}

/** Installs an integration inside the CRM: one GET, three seconds, never again (provider.md 2). */
export function sendInstall(world: World, integration: Integration, account: Account) {
  const code = world.grants.issueCode(account, integration)
  return world.outbound.send({
    purpose: 'install',
    method: 'GET',
    url: new URL(installUrl(integration, account, code)),
    budgetMs: world.settings.installBudgetMs,
  })
}

/** The code that exchange_api_key promised, sent by the server (provider.md 6). */
export function sendExchanged(
  world: World,
  integration: Integration,
  account: Account,
  state: string | undefined,
) {
  const code = world.grants.issueCode(account, integration)
  return world.outbound.send({
    purpose: 'exchange_api_key',
    method: 'GET',
    url: new URL(exchangeUrl(integration, account, code, state)),
    budgetMs: HOOK_BUDGET_MS,
  })
}

/** The disconnect hook. `signature` stands in for the true one, to try a forgery. */
export function sendDisconnect(
  world: World,
  integration: Integration,
  account: Account,
  to: string,
  signature?: string,
) {
  const { clientId, clientSecret } = integration
  const url = new URL(to)
  url.searchParams.set('account_id', String(account.accountId))
  url.searchParams.set('client_uuid', clientId)
  const signed = signature ?? signDisconnect(clientSecret, clientId, account.accountId)
  url.searchParams.set('signature', signed)
  return world.outbound.send({
    purpose: 'disconnect',
    method: 'GET',
    url,
    budgetMs: HOOK_BUDGET_MS,
  })
}

/**
 * The button that creates an integration (provider.md 9): makes one in the account, POSTs its
 * secrets, and goes on to the callback only when the answer was exactly 200.
 */
export async function createExternal(
  world: World,
  asked: ExternalRequest,
): Promise<ExternalResult> {
  const { account, name, scopes, redirectUri } = asked
  const secrets = { clientId: randomUUID(), clientSecret: randomBytes(32).toString('hex') }
  const call = await world.outbound.send({
    purpose: 'secrets',
    method: 'POST',
    url: new URL(asked.secretsUri),
    budgetMs: HOOK_BUDGET_MS,
    ...secretsBody(asked, secrets.clientId, secrets.clientSecret),
  })
  if (call.status !== 200) return { call, integration: undefined, redirectUrl: undefined }
  const seed = { platform: account.platform, ...secrets, redirectUri, name, scopes }
  const integration = world.directory.addIntegration(seed, account.key)
  const code = world.grants.issueCode(account, integration)
  const redirectUrl = callbackUrl(integration, account, code, { state: asked.state })
  return { call, integration, redirectUrl }
}

function secretsBody(asked: ExternalRequest, clientId: string, clientSecret: string) {
  const { state, name, scopes } = asked
  const fields = { client_id: clientId, client_secret: clientSecret, state, name }
  if (asked.encoding === 'json') {
    const written = asked.scopesAs === 'array' ? scopes : scopes.join(',')
    return { contentType: 'application/json', body: JSON.stringify({ ...fields, scopes: written }) }
  }
  const form = new URLSearchParams(fields)
  if (asked.scopesAs === 'string') form.set('scopes', scopes.join(','))
  else for (const scope of scopes) form.append('scopes[]', scope)
  return { contentType: 'application/x-www-form-urlencoded', body: form.toString() }
}
