import { Secret } from '../vault/secret.ts'
import type { Settings } from './settings.ts'
import { checkWebUrl } from './urls.ts'

/** The OpenID Connect provider through which people sign in to the console. */
export interface OpenIdConfig {
  issuer: string
  clientId: string
  clientSecret: Secret
  /** The claim of the ID token that contains `operator` or `monitor`. */
  roleClaim: string
}

/** Reads the provider. Null: people sign in with keys only. */
export function readOpenId(read: Settings, problems: string[]): OpenIdConfig | null {
  const { OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET, OIDC_ROLE_CLAIM } = read
  if (!OIDC_ISSUER && !OIDC_CLIENT_ID && !OIDC_CLIENT_SECRET) return null
  if (!OIDC_ISSUER || !OIDC_CLIENT_ID || !OIDC_CLIENT_SECRET) {
    problems.push(
      'OIDC_ISSUER, OIDC_CLIENT_ID and OIDC_CLIENT_SECRET belong together: set all, or none',
    )
    return null
  }
  checkWebUrl('OIDC_ISSUER', OIDC_ISSUER, problems)
  return {
    issuer: OIDC_ISSUER,
    clientId: OIDC_CLIENT_ID,
    clientSecret: new Secret(OIDC_CLIENT_SECRET),
    roleClaim: OIDC_ROLE_CLAIM,
  }
}
