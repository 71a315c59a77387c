// Every provider, as data. This is the only file that names one.
//
// To add a provider profile:
// 1. Add an entry to PROFILES below. Its name is the value of `provider` in the API, in
//    `amo_integrations.provider` and in `--provider`.
// 2. Take each field from the provider's documentation and write the source into docs/provider.md.
//    A hint that is not listed becomes `unknown_refusal`, which spends nothing and alarms.
// 3. Add its four settings (`<PREFIX>_CLIENT_ID` …) to .env.example and docker-compose.yml. The
//    settings schema lists them by itself; test/config.test.ts compares.
// 4. Run `npm run cli openapi`, which writes the new value into openapi/, and
//    `npm test -- test/profiles.test.ts test/config.test.ts test/openapi.test.ts`.
//
// The settings, the API schemas, the CLI, callback validation, buttons, the secrets hook, the texts
// for operators and the sandbox read this table. `test/profiles.test.ts` passes a third entry
// through them.
import type { RefusalCode } from './refusals.ts'

/** The differences between providers. */
export interface Profile {
  /** The name that people read. */
  title: string
  /** The `platform` parameter of a callback (docs/provider.md, part 2). */
  platformNumber: string
  /**
   * Its integration can be set by `<prefix>_CLIENT_ID`, `_CLIENT_SECRET`, `_REDIRECT_URI`,
   * `_SANDBOX_ORIGIN`.
   */
  envPrefix: string
  authorizeUrl: string
  /**
   * Parameters of the authorize URL besides client_id, state, mode and scope. `{redirect_uri}`
   * stands for the integration's redirect URI.
   */
  authorizeParameters: Readonly<Record<string, string>>
  /** Sent as `scope` of the authorize URL unless empty. */
  scopes: readonly string[]
  /** Domains that accounts are subdomains of. A bare subdomain belongs to the first one. */
  zones: readonly [string, ...string[]]
  /**
   * A regular expression for the host names of accounts, which may receive the client secret and
   * tokens.
   */
  allowedHosts: string
  /** The provider's own hosts, for a token URL that is the same for all accounts. */
  siteHosts: readonly string[]
  /** `{domain}` stands for the account's host. */
  tokenUrl: string
  encoding: 'json' | 'form'
  /** How far the look-up with a refresh token is believed (docs/provider.md, part 4). */
  probe: 'none' | 'weak' | 'strong'
  /** The script that renders the provider's button (docs/provider.md, part 9). */
  button: { readonly className: string; readonly scriptUrl: string }
  /** The meaning of `hint` in a refusal; `title` and `detail` are localised and never read. */
  hints: Readonly<Record<string, RefusalCode>>
  sandbox: SandboxTraits
}

/** How the sandbox plays a provider. */
interface SandboxTraits {
  readonly apiHost: string
  readonly language: 'ru' | 'en'
  readonly country: string
  readonly currency: string
  readonly currencySymbol: string
  /** `type` of the token endpoint's problem documents. */
  readonly problemType: string
  /** Path of the redirect URI when the environment sets none. */
  readonly callbackPath: string
}

export type ProfileTable = Readonly<Record<string, Profile>>

/** amoCRM and Kommo run the same software (docs/provider.md, part 3). */
const HINTS = {
  'Token has been revoked': 'token_revoked',
  'Token has expired': 'token_expired',
  'Cannot decrypt the refresh token': 'token_unreadable',
  'Token is not linked to client': 'token_of_other_client',
  'Check the `client_id` parameter': 'client_id_malformed',
  'Check the `client_secret` parameter': 'client_secret_malformed',
  'Redirect URI is not associated with client': 'redirect_uri_mismatch',
  'Invalid account': 'invalid_account',
  'Authorization code has expired': 'code_expired',
  'Authorization code has been revoked': 'code_used',
  'Cannot decrypt the authorization code': 'code_unreadable',
  'Authorization code was not issued to this client': 'code_of_other_client',
} as const satisfies Record<string, RefusalCode>

export const PROFILES = {
  amocrm: {
    title: 'amoCRM',
    platformNumber: '1',
    envPrefix: 'AMO',
    authorizeUrl: 'https://www.amocrm.ru/oauth',
    authorizeParameters: {},
    scopes: [],
    zones: ['amocrm.ru'],
    allowedHosts: '[a-z0-9-]+\\.amocrm\\.ru',
    siteHosts: ['amocrm.ru', 'www.amocrm.ru'],
    tokenUrl: 'https://{domain}/oauth2/access_token',
    encoding: 'json',
    probe: 'weak',
    button: {
      className: 'amocrm_oauth',
      scriptUrl: 'https://www.amocrm.ru/auth/button.min.js',
    },
    hints: HINTS,
    sandbox: {
      apiHost: 'api-b.amocrm.ru',
      language: 'ru',
      country: 'RU',
      currency: 'RUB',
      currencySymbol: '₽',
      problemType: 'https://developers.amocrm.ru/v3/errors/OAuthProblemJson',
      callbackPath: '/api/v1/integrations/amo-crm/callback',
    },
  },
  kommo: {
    title: 'Kommo',
    platformNumber: '2',
    envPrefix: 'KOMMO',
    authorizeUrl: 'https://www.kommo.com/oauth',
    authorizeParameters: {},
    scopes: [],
    // Accounts made before the platform was renamed are still at amocrm.com.
    zones: ['kommo.com', 'amocrm.com'],
    allowedHosts: '[a-z0-9-]+\\.(?:kommo|amocrm)\\.com',
    siteHosts: ['kommo.com', 'www.kommo.com'],
    tokenUrl: 'https://{domain}/oauth2/access_token',
    encoding: 'json',
    probe: 'weak',
    button: {
      className: 'kommo_oauth',
      scriptUrl: 'https://www.kommo.com/auth/button.min.js',
    },
    hints: HINTS,
    sandbox: {
      apiHost: 'api-c.kommo.com',
      language: 'en',
      country: 'US',
      currency: 'USD',
      currencySymbol: '$',
      problemType: 'https://developers.kommo.com/v3/errors/OAuthProblemJson',
      callbackPath: '/integrations/kommo/oauth/callback',
    },
  },
} as const satisfies ProfileTable

export type ProviderName = keyof typeof PROFILES

/** The prefix of a provider's settings. */
export type EnvPrefix = (typeof PROFILES)[ProviderName]['envPrefix']

export function isProviderName(name: string): name is ProviderName {
  return Object.hasOwn(PROFILES, name)
}

export const PROVIDER_NAMES: readonly ProviderName[] = Object.keys(PROFILES).filter(isProviderName)

/**
 * Lists a setting of every provider, for texts.
 *
 * @example settingNames('CLIENT_ID') // 'AMO_CLIENT_ID (KOMMO_CLIENT_ID)'
 */
export function settingNames(
  setting: 'CLIENT_ID' | 'CLIENT_SECRET' | 'REDIRECT_URI',
  table: ProfileTable = PROFILES,
): string {
  const [first = '', ...others] = Object.values(table).map((each) => `${each.envPrefix}_${setting}`)
  return others.length === 0 ? first : `${first} (${others.join(', ')})`
}
