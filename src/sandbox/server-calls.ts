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
  /** The encoding of `scopes`. Real requests use both (docs/provider.md, part 9). */
  scopesAs: 'array' | 'string'
}

export interface ExternalResult {
  call: OutboundResult
  /** Undefined when the response to the secrets was not exactly 200. */
  integration: Integration | undefined
  redirectUrl: string | undefined
}

// An estimate of a webhook's time limit. Only the install callback's three seconds are documented.
const HOOK_BUDGET_MS = 5_000

/**
 * Returns the signature of the disconnect hook: HMAC-SHA256 in lower-case hex (docs/provider.md,
 * part 8).
 */
export function signDisconnect(clientSecret: string, clientId: string, accountId: number): string {
  return createHmac('sha256', clientSecret).update(`${clientId}|${accountId}`).digest('hex')
}

/**
 * Installs an integration inside the CRM: one GET with a limit of three seconds, never repeated
 * (docs/provider.md, part 2).
 */
export function sendInstall(world: World, integration: Integration, account: Account) {
  const code = world.grants.issueCode(account, integration)
  return world.outbound.send({
    purpose: 'install',
    method: 'GET',
    url: new URL(installUrl(integration, account, code)),
    budgetMs: world.settings.installBudgetMs,
  })
}

/** Sends the code of exchange_api_key from the server (docs/provider.md, part 6). */
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

/** Sends the disconnect hook. `signature` replaces the true one, to test a forgery. */
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
 * Presses the button that creates an integration (docs/provider.md, part 9): creates one in the
 * account, POSTs its secrets, and continues to the callback only when the response was exactly 200.
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
