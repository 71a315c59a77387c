import type { TString } from 'typebox'
import { Type } from '../lib/type.ts'
import { type EnvPrefix, PROFILES, type ProfileTable } from '../provider/profile-table.ts'

/** The four settings of each provider's integration, with their meaning. */
const MEANINGS = {
  CLIENT_ID: 'its ID',
  CLIENT_SECRET: 'its secret key',
  REDIRECT_URI: 'its redirect URI, byte for byte',
  SANDBOX_ORIGIN: 'talks to this sandbox and never to the provider',
} as const

type IntegrationSetting = `${EnvPrefix}_${keyof typeof MEANINGS}`

/** Lists the settings of every provider in the table: `AMO_CLIENT_ID` … */
export function integrationSettings(table: ProfileTable): Record<string, TString> {
  const entries = Object.entries(table).flatMap(([name, { envPrefix }]) =>
    Object.entries(MEANINGS).map(([setting, meaning]) => {
      const punctuation = setting === 'SANDBOX_ORIGIN' ? '' : ':'
      const description = `integration "${name}"${punctuation} ${meaning}`
      return [`${envPrefix}_${setting}`, Type.String({ default: '', description })] as const
    }),
  )
  return Object.fromEntries(entries)
}

/**
 * The same with the names of the built-in providers in the type, which `Object.entries` cannot
 * keep.
 */
export const builtInIntegrationSettings = integrationSettings(PROFILES) as Record<
  IntegrationSetting,
  TString
>
