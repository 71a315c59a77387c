import { KeyRing } from '../../src/vault/key-ring.ts'
import type { SecretRow } from '../../src/vault/sealed-places.ts'
import { secretAt } from '../../src/vault/sealed-places.ts'
import { CLIENT_SECRET, ENCRYPTION_KEYS } from './broker.ts'
import { query } from './database.ts'

/** Changes the redirect URI in the table and seals the secret for it, as only the broker can. */
export function moveRedirectUri(databaseUrl: string, redirectUri: string): Promise<void> {
  return changeBoundFields(databaseUrl, { redirectUri })
}

/** Sets the overrides of the profile, and binds the client secret to them. */
export function setProfile(databaseUrl: string, profile: Record<string, unknown>): Promise<void> {
  return changeBoundFields(databaseUrl, { profile })
}

async function changeBoundFields(
  databaseUrl: string,
  change: Partial<Pick<SecretRow, 'redirectUri' | 'profile'>>,
): Promise<void> {
  const [row] = await query<SecretRow & Record<string, unknown>>(
    databaseUrl,
    `select name, provider, "clientId", "redirectUri", "sandboxOrigin", profile
     from amo_integrations
     where name = 'amocrm'`,
  )
  if (row === undefined) throw new Error('there is no integration')
  const changed = { ...row, ...change }
  const place = secretAt(changed, 'clientSecret')
  await query(
    databaseUrl,
    `update amo_integrations set "redirectUri" = $1, profile = $2, "clientSecret" = $3
     where name = 'amocrm'`,
    [
      changed.redirectUri,
      JSON.stringify(changed.profile),
      KeyRing.parse(ENCRYPTION_KEYS).seal(CLIENT_SECRET, place),
    ],
  )
}
