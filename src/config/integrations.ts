import { isIP } from 'node:net'
import { isSandboxAddress } from '../lib/public-lookup.ts'
import { PROFILES, PROVIDER_NAMES, type ProviderName } from '../provider/profile-table.ts'
import { Secret } from '../vault/secret.ts'
import type { Settings } from './settings.ts'
import { checkWebUrl, originOf } from './urls.ts'

/** An integration that the environment describes. */
export interface IntegrationConfig {
  name: ProviderName
  provider: ProviderName
  clientId: string
  clientSecret: Secret
  redirectUri: string
  sandboxOrigin: string | null
}

/** Reads one integration per provider profile. Each is set as a whole or not at all. */
export function readIntegrations(settings: Settings, problems: string[]): IntegrationConfig[] {
  return PROVIDER_NAMES.map((name) => readIntegration(name, settings, problems)).filter(
    (each) => each !== undefined,
  )
}

function readIntegration(
  name: ProviderName,
  settings: Settings,
  problems: string[],
): IntegrationConfig | undefined {
  const prefix = PROFILES[name].envPrefix
  const names = {
    clientId: `${prefix}_CLIENT_ID`,
    clientSecret: `${prefix}_CLIENT_SECRET`,
    redirectUri: `${prefix}_REDIRECT_URI`,
  } as const
  const missing = Object.values(names).filter((setting) => !settings[setting])
  const sandboxOrigin = settings[`${prefix}_SANDBOX_ORIGIN`]
  if (missing.length === Object.values(names).length && !sandboxOrigin) return undefined
  for (const setting of missing) {
    problems.push(`${setting} is missing: the integration "${name}" needs it`)
  }
  const redirectUri = settings[names.redirectUri]
  checkWebUrl(names.redirectUri, redirectUri, problems)
  if (sandboxOrigin && !/^https?:$/.test(URL.parse(sandboxOrigin)?.protocol ?? '')) {
    problems.push(`${prefix}_SANDBOX_ORIGIN must be a URL that starts with http:// or https://`)
  }
  const sandboxHost = URL.parse(sandboxOrigin)?.hostname.replace(/^\[|\]$/g, '') ?? ''
  if (isIP(sandboxHost) !== 0 && !isSandboxAddress(sandboxHost, true)) {
    problems.push(
      `${prefix}_SANDBOX_ORIGIN must not be a link-local address or one of cloud metadata`,
    )
  }
  const { PUBLIC_URL } = settings
  if (PUBLIC_URL && redirectUri && originOf(redirectUri) !== originOf(PUBLIC_URL)) {
    problems.push(
      `${names.redirectUri} must be on the origin of PUBLIC_URL: the browser's cookie is bound to it`,
    )
  }
  return {
    name,
    provider: name,
    clientId: settings[names.clientId],
    clientSecret: new Secret(settings[names.clientSecret]),
    redirectUri,
    sandboxOrigin: sandboxOrigin ? originOf(sandboxOrigin) : null,
  }
}
