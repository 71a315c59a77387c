import type { Secret } from '../vault/secret.ts'
import { PROFILES, type Profile, type ProfileTable } from './profile-table.ts'

/**
 * Merges an integration's overrides into its provider's profile. Throws when there is no such
 * provider.
 */
export function profileOf(
  provider: string,
  overrides: Partial<Profile>,
  table: ProfileTable = PROFILES,
): Profile {
  const profile = Object.hasOwn(table, provider) ? table[provider] : undefined
  if (profile === undefined) throw new Error(`there is no provider profile "${provider}"`)
  return { ...profile, ...overrides }
}

/** The credentials of an integration and its provider's profile: every outside call needs both. */
export interface OAuthClient {
  profile: Profile
  clientId: string
  /** Throws `KeyMissing` when it is sealed under a key that is not loaded. */
  readonly clientSecret: Secret
  redirectUri: string
  /** All calls connect here and carry the account's host in `Host`. Null: the real provider. */
  sandboxOrigin: string | null
  /** The settings name this sandbox, so it may be at a private address. */
  isSandboxTrusted?: boolean
}

/** Accounts and the API share their zones. */
function isAccountHost(profile: Profile, host: string): boolean {
  return new RegExp(`^(?:${profile.allowedHosts})$`).test(host)
}

/** Returns true when a host may receive the client secret or a token. */
export function isAllowedHost(profile: Profile, host: string): boolean {
  return isAccountHost(profile, host) || profile.siteHosts.includes(host)
}

/**
 * Reads the account's host from `referer`, which may carry a scheme.
 *
 * @returns `undefined` when it is not the host of an account of this provider.
 */
export function allowedHost(profile: Profile, referer: string): string | undefined {
  const [host = ''] = referer
    .toLowerCase()
    .replace(/^https?:\/\//, '')
    .split('/', 1)
  const isSite = profile.siteHosts.includes(host)
  return isAccountHost(profile, host) && !isSite ? host : undefined
}

/** Like `allowedHost`, for a name that a person types: `acme` becomes `acme.kommo.com`. */
export function typedHost(profile: Profile, typed: string): string | undefined {
  const isBare = /^[a-z0-9-]+$/i.test(typed)
  return allowedHost(profile, isBare ? `${typed}.${profile.zones[0]}` : typed)
}

/** Returns true when each account has its own token endpoint, false when all accounts share one. */
export function needsAccountHost({ tokenUrl }: Profile): boolean {
  return tokenUrl.includes('{domain}')
}

/**
 * Builds the URL of the consent page (docs/provider.md, part 1). Throws when the integration was
 * altered: the code would be sent to another host.
 */
export function authorizeUrl(client: OAuthClient, state: string, mode: string): string {
  void client.clientSecret
  const url = new URL(client.profile.authorizeUrl)
  if (client.sandboxOrigin !== null) {
    const sandbox = new URL(client.sandboxOrigin)
    url.protocol = sandbox.protocol
    url.host = sandbox.host
  }
  const { authorizeParameters, scopes } = client.profile
  for (const [name, value] of Object.entries(authorizeParameters)) {
    // The redirect URI decides where the code is sent, so it is always the integration's own.
    const isRedirect = name === 'redirect_uri'
    const text = isRedirect
      ? client.redirectUri
      : value.replace('{redirect_uri}', client.redirectUri)
    url.searchParams.set(name, text)
  }
  if (scopes.length > 0) url.searchParams.set('scope', scopes.join(' '))
  url.searchParams.set('client_id', client.clientId)
  url.searchParams.set('state', state)
  url.searchParams.set('mode', mode)
  return url.href
}
