import { type Kysely, sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { BrokerError } from '../lib/errors.ts'
import type { Profile, ProfileTable, ProviderName } from '../provider/profile-table.ts'
import { profileOf } from '../provider/profiles.ts'
import type { OVERRIDES } from '../vault/bound-fields.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { equalInConstantTime } from '../vault/keyed-hash.ts'
import { secretAt } from '../vault/sealed-places.ts'
import type { Secret } from '../vault/secret.ts'
import type { Integration } from './integration.ts'

/** The fields of a profile that an integration may override: no hosts but the provider's own. */
export type ProfileOverrides = Partial<Pick<Profile, (typeof OVERRIDES)[number]>>

export interface IntegrationOrder {
  provider: ProviderName
  clientId: string
  clientSecret: Secret | undefined
  redirectUri: string
  acceptsInstalls: boolean
  sandboxOrigin: string | null
  profile: ProfileOverrides
}

/** Throws `bad_request` when an override leads to a host that is not the provider's. */
export function checkProfile(
  provider: string,
  overrides: ProfileOverrides,
  profiles?: ProfileTable,
): void {
  const { siteHosts, allowedHosts } = profileOf(provider, {}, profiles)
  const isOwn = (text: string, mayBeAccounts: boolean) => {
    const url = URL.parse(text.replace('{domain}', 'domain.invalid'))
    if (url?.protocol !== 'https:' || url.username !== '' || url.port !== '') return false
    if (mayBeAccounts && text.startsWith('https://{domain}/')) return true
    return (
      siteHosts.includes(url.hostname) || new RegExp(`^(?:${allowedHosts})$`).test(url.hostname)
    )
  }
  const { authorizeUrl, tokenUrl, authorizeParameters } = overrides
  const redirect = authorizeParameters?.redirect_uri
  if (redirect !== undefined && redirect !== '{redirect_uri}') {
    const detail =
      'profile.authorize_parameters.redirect_uri: it must be {redirect_uri}, which stands for the redirect URI of the integration.'
    throw new BrokerError('bad_request', detail)
  }
  if (authorizeUrl !== undefined && !isOwn(authorizeUrl, false)) {
    throw new BrokerError('bad_request', 'profile.authorize_url: it is no page of the platform.')
  }
  if (tokenUrl !== undefined && !isOwn(tokenUrl, true)) {
    throw new BrokerError('bad_request', 'profile.token_url: its host is not the platform’s.')
  }
}

/** Returns true when an order changes where the client secret, a code or a token is sent. */
function movesHosts(known: Integration, order: IntegrationOrder, profiles?: ProfileTable): boolean {
  const { profile } = known
  const next = profileOf(order.provider, order.profile, profiles)
  return (
    known.redirectUri !== order.redirectUri ||
    profile.authorizeUrl !== next.authorizeUrl ||
    profile.tokenUrl !== next.tokenUrl
  )
}

/**
 * Checks a change of an integration. A change of hosts needs the client secret that the provider
 * has accepted, so that an operator key is not enough to send the secret and the tokens elsewhere.
 * An integration that has not worked yet and has no accounts takes its stored secret. Throws
 * `client_secret_needed`, and `bad_request` for fields that are fixed at creation.
 */
export function checkChange(
  known: Integration,
  order: IntegrationOrder,
  hasAccounts: boolean,
  profiles?: ProfileTable,
): void {
  if (known.provider !== order.provider) {
    throw new BrokerError('bad_request', 'provider: it is fixed when the integration is made.')
  }
  if (known.sandboxOrigin !== order.sandboxOrigin) {
    throw new BrokerError('bad_request', 'sandbox_origin: it is fixed at creation.')
  }
  if (!movesHosts(known, order, profiles)) return
  const proof = known.provenSecret ?? (hasAccounts ? null : known.clientSecret)
  if (proof === null) {
    const detail =
      'redirect_uri or a URL of the profile changes, and the provider has not accepted the stored client secret yet. Wait for the first refresh.'
    throw new BrokerError('client_secret_needed', detail)
  }
  const { clientSecret } = order
  if (clientSecret && equalInConstantTime(proof.reveal(), clientSecret.reveal())) return
  const detail =
    'redirect_uri or a URL of the profile changes: client_secret must be the one that the provider accepted last.'
  throw new BrokerError('client_secret_needed', detail)
}

/** Returns whether an integration has accounts. */
export async function hasAccounts(db: Kysely<Tables>, name: string): Promise<boolean> {
  const row = await db
    .selectFrom('amo_tokens')
    .select('accountId')
    .where('integration', '=', name)
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}

/** @returns False when an integration of this name exists. */
export async function insertIntegration(
  db: Kysely<Tables>,
  keyRing: KeyRing,
  name: string,
  order: IntegrationOrder & { clientSecret: Secret },
  made: {
    external?: boolean
    provisionalUntil?: ReturnType<typeof sql<Date>>
    pacePerSecond?: number
  } = {},
): Promise<boolean> {
  const inserted = await db
    .insertInto('amo_integrations')
    .values({
      name,
      provider: order.provider,
      clientId: order.clientId,
      clientSecret: keyRing.seal(order.clientSecret, secretAt({ name, ...order }, 'clientSecret')),
      redirectUri: order.redirectUri,
      acceptsInstalls: order.acceptsInstalls,
      sandboxOrigin: order.sandboxOrigin,
      profile: JSON.stringify(order.profile),
      ...made,
    })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .returning('name')
    .executeTakeFirst()
  return inserted !== undefined
}

/**
 * Removes an integration and its links, unless it has accounts.
 *
 * @returns The number of accounts; 0: it was removed.
 */
export async function removeIntegration(trx: Transaction<Tables>, name: string): Promise<number> {
  await sql`select from amo_integrations where name = ${name} for update`.execute(trx)
  const { rows } = await sql<{ accounts: number }>`
    select count(*)::int as accounts from amo_tokens where integration = ${name}
  `.execute(trx)
  const accounts = rows[0]?.accounts ?? 0
  if (accounts > 0) return accounts
  await trx.deleteFrom('amo_integrations').where('name', '=', name).execute()
  await trx.deleteFrom('amo_breakers').where('key', '=', `integration ${name}`).execute()
  return 0
}
