import type { Secret } from '../vault/secret.ts'

/** A platform. `custom` gets its hosts from the integration alone. */
export type ProviderName = 'amocrm' | 'kommo' | 'custom'

/** What differs from platform to platform: data, not code. An integration may override each field. */
export interface Profile {
  authorizeUrl: string
  /** Parameters of the authorize URL besides client_id, state, mode and scope; `{redirect_uri}` stands for the integration's. */
  authorizeParameters: Record<string, string>
  /** `scope` of the authorize URL, where it is not empty. */
  scopes: string[]
  /** Hosts of accounts, which may get the client secret and tokens: the whole host name, as a regular expression. */
  allowedHosts: string
  /** The platform's own hosts, for a token URL without the account's. */
  siteHosts: string[]
  /** Behind a bare subdomain. */
  zone: string
  /** `{domain}` stands for the account's host. */
  tokenUrl: string
  encoding: 'json' | 'form'
  /** The answer's worth of the look-up with a refresh token (provider page, part 4). */
  probe: 'none' | 'weak' | 'strong'
}

const PROFILES: Record<ProviderName, Profile> = {
  amocrm: {
    authorizeUrl: 'https://www.amocrm.ru/oauth',
    authorizeParameters: {},
    scopes: [],
    allowedHosts: '[a-z0-9-]+\\.amocrm\\.ru',
    siteHosts: ['amocrm.ru', 'www.amocrm.ru'],
    zone: 'amocrm.ru',
    tokenUrl: 'https://{domain}/oauth2/access_token',
    encoding: 'json',
    probe: 'weak',
  },
  kommo: {
    authorizeUrl: 'https://www.kommo.com/oauth',
    authorizeParameters: {},
    scopes: [],
    // Accounts made before the platform was renamed are still at amocrm.com.
    allowedHosts: '[a-z0-9-]+\\.(?:kommo|amocrm)\\.com',
    siteHosts: ['kommo.com', 'www.kommo.com'],
    zone: 'kommo.com',
    tokenUrl: 'https://{domain}/oauth2/access_token',
    encoding: 'json',
    probe: 'weak',
  },
  custom: {
    authorizeUrl: '',
    authorizeParameters: {},
    scopes: [],
    allowedHosts: '(?!)',
    siteHosts: [],
    zone: '',
    tokenUrl: 'https://{domain}/oauth2/access_token',
    encoding: 'json',
    probe: 'none',
  },
}

export function profileOf(provider: ProviderName, overrides: Partial<Profile>): Profile {
  return { ...PROFILES[provider], ...overrides }
}

/** Our side of an integration: what every outside call is made with. */
export interface OAuthClient {
  profile: Profile
  clientId: string
  /** Throws `KeyMissing` where it is sealed under a key that is not loaded. */
  readonly clientSecret: Secret
  redirectUri: string
  /** All calls connect here and carry the account's host in `Host`; null: the real provider. */
  sandboxOrigin: string | null
}

/** Whether a host is an account's of the platform, or the one of its API. */
function isAccountHost(profile: Profile, host: string): boolean {
  return new RegExp(`^(?:${profile.allowedHosts})$`).test(host)
}

/** Whether a host may get the client secret or a token. */
export function isAllowedHost(profile: Profile, host: string): boolean {
  return isAccountHost(profile, host) || profile.siteHosts.includes(host)
}

/** The account's host out of `referer`, which may carry a scheme; undefined when it is not allowed. */
export function allowedHost(profile: Profile, referer: string): string | undefined {
  const [host = ''] = referer
    .toLowerCase()
    .replace(/^https?:\/\//, '')
    .split('/', 1)
  const isSite = profile.siteHosts.includes(host)
  return isAccountHost(profile, host) && !isSite ? host : undefined
}

/** The same of what a person types, who may leave the platform's zone away: `kwid` is `kwid.kommo.com`. */
export function typedHost(profile: Profile, typed: string): string | undefined {
  const isBare = /^[a-z0-9-]+$/i.test(typed) && profile.zone !== ''
  return allowedHost(profile, isBare ? `${typed}.${profile.zone}` : typed)
}

/** Whether the token endpoint is the account's own; else it is the same for all accounts. */
export function needsAccountHost({ tokenUrl }: Profile): boolean {
  return tokenUrl.includes('{domain}')
}

/** Where the person is sent for consent (provider page, part 1). */
export function authorizeUrl(client: OAuthClient, state: string, mode: string): string {
  const url = new URL(client.profile.authorizeUrl)
  if (client.sandboxOrigin !== null) {
    const sandbox = new URL(client.sandboxOrigin)
    url.protocol = sandbox.protocol
    url.host = sandbox.host
  }
  const { authorizeParameters, scopes } = client.profile
  for (const [name, value] of Object.entries(authorizeParameters)) {
    url.searchParams.set(name, value.replace('{redirect_uri}', client.redirectUri))
  }
  if (scopes.length > 0) url.searchParams.set('scope', scopes.join(' '))
  url.searchParams.set('client_id', client.clientId)
  url.searchParams.set('state', state)
  url.searchParams.set('mode', mode)
  return url.href
}
