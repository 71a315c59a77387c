import type { Credential } from './credentials.ts'
import type { Account, Integration } from './directory.ts'
import type { Host, Platform } from './hosts.ts'
import type { Refusal } from './refusals.ts'
import { hinted, notFound, unauthorized, wrongClient } from './refusals.ts'
import type { World } from './world.ts'

export type TokenFields = Record<string, unknown>

/**
 * The Kommo guide's `/oauth/token` finds the account by the token, and refreshes without a redirect
 * URI.
 */
export type TokenRoute = 'account_host' | 'any_host'

export interface Passed {
  integration: Integration
  account: Account
  credential: Credential
}

interface Checked {
  world: World
  host: Host
  fields: TokenFields
  route: TokenRoute
  platform: Platform
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/**
 * Runs the checks of the token endpoint in the provider's order: client, redirect URI, account
 * host, code or refresh token (docs/provider.md, part 3). Changes nothing.
 */
export function checkTokenCall(
  world: World,
  host: Host,
  fields: TokenFields,
  route: TokenRoute,
): Passed | Refusal {
  const clientId = text(fields.client_id)
  const known = world.directory.integrations.get(clientId ?? '')
  const platform = 'platform' in host ? host.platform : (known?.platform ?? 'amocrm')
  const checked = { world, host, fields, route, platform }

  const integration = checkClient(checked)
  if ('outcome' in integration) return integration
  const wrongUri = checkRedirectUri(checked, integration)
  if (wrongUri !== undefined) return wrongUri
  const account = checkHost(checked)
  if ('outcome' in account) return account
  const credential = checkToken(checked, integration)
  if ('outcome' in credential) return credential
  return { integration, account, credential }
}

/** The code or refresh token of a call, and the sandbox's record of it. */
export function presented(world: World, fields: TokenFields) {
  const kind = fields.grant_type === 'authorization_code' ? 'code' : 'refresh_token'
  const token = text(fields[kind])
  const credential = token === undefined ? undefined : world.grants.findOpaque(token, kind)
  return { kind, token, credential } as const
}

export function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function checkClient({ world, fields, platform }: Checked): Integration | Refusal {
  const clientId = text(fields.client_id)
  const integration = world.directory.integrations.get(clientId ?? '')
  if (clientId === undefined || (integration === undefined && !UUID.test(clientId))) {
    return hinted(platform, 400, 'Check the `client_id` parameter', 'malformed_client_id')
  }
  const secret = text(fields.client_secret)
  if (secret === undefined) {
    return hinted(platform, 400, 'Check the `client_secret` parameter', 'malformed_client_secret')
  }
  const fits = integration?.platform === platform && integration.clientSecret === secret
  return fits ? integration : wrongClient(platform)
}

function checkRedirectUri(checked: Checked, integration: Integration): Refusal | undefined {
  const { fields, route, platform } = checked
  const mayLack = route === 'any_host' && fields.grant_type === 'refresh_token'
  if (mayLack && fields.redirect_uri === undefined) return undefined
  if (fields.redirect_uri === integration.redirectUri) return undefined
  return hinted(platform, 400, 'Redirect URI is not associated with client', 'wrong_redirect_uri')
}

function checkHost({ world, host, fields, route, platform }: Checked): Account | Refusal {
  const invalid = () => hinted(platform, 400, 'Invalid account', 'invalid_account')
  const { credential } = presented(world, fields)
  const owner = world.directory.accounts.get(credential?.account ?? '')
  if (route === 'any_host') return owner ?? refuseUnowned(credential, platform, fields)

  const account = world.directory.findByHost(host)
  if (account === undefined) {
    if (host.kind === 'api' || host.kind === 'site') return invalid()
    const oldHost = world.directory.findOldHost(host)
    if (oldHost === 'invalid_account') return invalid()
    return oldHost === '401' ? unauthorized('renamed') : notFound()
  }
  if (owner === undefined && credential !== undefined) return invalid()
  if (owner !== undefined && owner !== account) return invalid()
  return account
}

function refuseUnowned(
  credential: Credential | undefined,
  platform: Platform,
  fields: TokenFields,
) {
  return credential === undefined ? refuseGarbage(platform, fields) : notFound()
}

function checkToken({ world, fields, platform }: Checked, integration: Integration) {
  const { kind, credential } = presented(world, fields)
  const isUnknownGrant =
    fields.grant_type !== 'authorization_code' && fields.grant_type !== 'refresh_token'
  if (credential === undefined || isUnknownGrant) return refuseGarbage(platform, fields)
  const check = kind === 'code' ? checkCode : checkRefreshToken
  return check(credential, integration, platform, world.settings.clock()) ?? credential
}

function refuseGarbage(platform: Platform, fields: TokenFields): Refusal {
  switch (fields.grant_type) {
    case 'authorization_code':
      return text(fields.code) === undefined
        ? hinted(platform, 400, 'Check the `code` parameter', 'missing_code')
        : hinted(platform, 400, 'Cannot decrypt the authorization code', 'garbage', false)
    case 'refresh_token':
      return text(fields.refresh_token) === undefined
        ? hinted(platform, 400, 'Check the `refresh_token` parameter', 'missing_refresh_token')
        : hinted(platform, 401, 'Cannot decrypt the refresh token', 'garbage', false)
    default:
      return hinted(platform, 400, 'Check the `grant_type` parameter', 'unknown_grant_type')
  }
}

function checkCode(
  code: Credential,
  integration: Integration,
  platform: Platform,
  now: number,
): Refusal | undefined {
  if (code.clientId !== integration.clientId) {
    const hint = 'Authorization code was not issued to this client'
    return hinted(platform, 400, hint, 'foreign_client')
  }
  if (code.state !== 'live' || integration.disabled) {
    const outcome = code.state === 'spent' ? 'reused' : 'revoked'
    return hinted(platform, 400, 'Authorization code has been revoked', outcome, false)
  }
  if (code.expiresAt > now) return undefined
  return hinted(platform, 400, 'Authorization code has expired', 'expired', false)
}

function checkRefreshToken(
  token: Credential,
  integration: Integration,
  platform: Platform,
  now: number,
): Refusal | undefined {
  if (token.clientId !== integration.clientId) {
    return hinted(platform, 401, 'Token is not linked to client', 'foreign_client', false)
  }
  if (token.state !== 'live' || integration.disabled) {
    const outcome = token.state === 'spent' ? 'reused' : 'revoked'
    return hinted(platform, 401, 'Token has been revoked', outcome, false)
  }
  if (token.expiresAt > now) return undefined
  return hinted(platform, 401, 'Token has expired', 'expired', false)
}
