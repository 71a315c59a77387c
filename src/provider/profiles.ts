import type { Secret } from '../vault/secret.ts'

/** A platform. `custom` gets its hosts from the integration alone. */
export type ProviderName = 'amocrm' | 'kommo' | 'custom'

/** What differs from platform to platform: data, not code. An integration may override each field. */
export interface Profile {
  authorizeUrl: string
  /** Parameters of the authorize URL besides client_id, state and mode. */
  authorizeParameters: Record<string, string>
  /** Hosts that may ever get the client secret or a token: the whole host name, as a regular expression. */
  allowedHosts: string
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
    allowedHosts: '[a-z0-9-]+\\.amocrm\\.ru',
    tokenUrl: 'https://{domain}/oauth2/access_token',
    encoding: 'json',
    probe: 'weak',
  },
  kommo: {
    authorizeUrl: 'https://www.kommo.com/oauth',
    authorizeParameters: {},
    // Accounts made before the platform was renamed are still at amocrm.com.
    allowedHosts: '[a-z0-9-]+\\.(?:kommo|amocrm)\\.com',
    tokenUrl: 'https://{domain}/oauth2/access_token',
    encoding: 'json',
    probe: 'weak',
  },
  custom: {
    authorizeUrl: '',
    authorizeParameters: {},
    allowedHosts: '(?!)',
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

/** Whether a host may get the client secret or a token. */
export function isAllowedHost(profile: Profile, host: string): boolean {
  return new RegExp(`^(?:${profile.allowedHosts})$`).test(host)
}

/** The account's host out of `referer`, which may carry a scheme; undefined when it is not allowed. */
export function allowedHost(profile: Profile, referer: string): string | undefined {
  const host = referer
    .replace(/^https?:\/\//i, '')
    .replace(/\/.*$/, '')
    .toLowerCase()
  return isAllowedHost(profile, host) ? host : undefined
}

/** Where the person is sent for consent (provider page, part 1). */
export function authorizeUrl(client: OAuthClient, state: string, mode: string): string {
  const url = new URL(client.profile.authorizeUrl)
  if (client.sandboxOrigin !== null) {
    const sandbox = new URL(client.sandboxOrigin)
    url.protocol = sandbox.protocol
    url.host = sandbox.host
  }
  for (const [name, value] of Object.entries(client.profile.authorizeParameters)) {
    url.searchParams.set(name, value)
  }
  url.searchParams.set('client_id', client.clientId)
  url.searchParams.set('state', state)
  url.searchParams.set('mode', mode)
  return url.href
}
