import { type Kysely, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { BrokerError } from '../errors.ts'
import { type Profile, type ProviderName, profileOf } from '../provider/profiles.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { equalInConstantTime } from '../vault/keyed-hash.ts'
import type { Secret } from '../vault/secret.ts'
import type { Integration } from './service.ts'
import { secretAt } from './store.ts'

/** What may be said of a platform otherwise: data, no hosts but the platform's own. */
export type ProfileOverrides = Partial<
  Pick<
    Profile,
    'authorizeUrl' | 'authorizeParameters' | 'scopes' | 'tokenUrl' | 'encoding' | 'probe'
  >
>

export interface IntegrationOrder {
  provider: Exclude<ProviderName, 'custom'>
  clientId: string
  clientSecret: Secret | undefined
  redirectUri: string
  acceptsInstalls: boolean
  sandboxOrigin: string | null
  profile: ProfileOverrides
}

/** Throws `bad_request` when an override leads to a host that is not the platform's. */
export function checkProfile(provider: ProviderName, overrides: ProfileOverrides): void {
  const { siteHosts, allowedHosts } = profileOf(provider, {})
  const isOwn = (text: string, mayBeAccounts: boolean) => {
    const url = URL.parse(text.replace('{domain}', 'domain.invalid'))
    if (url?.protocol !== 'https:' || url.username !== '' || url.port !== '') return false
    if (mayBeAccounts && text.startsWith('https://{domain}/')) return true
    return (
      siteHosts.includes(url.hostname) || new RegExp(`^(?:${allowedHosts})$`).test(url.hostname)
    )
  }
  const { authorizeUrl, tokenUrl } = overrides
  if (authorizeUrl !== undefined && !isOwn(authorizeUrl, false)) {
    throw new BrokerError('bad_request', 'profile.authorize_url: it is no page of the platform.')
  }
  if (tokenUrl !== undefined && !isOwn(tokenUrl, true)) {
    throw new BrokerError('bad_request', 'profile.token_url: its host is not the platform’s.')
  }
}

/** Whether an order changes a field that says where the client secret, a code or a token goes. */
function movesHosts(known: Integration, order: IntegrationOrder): boolean {
  const { profile } = known
  const next = profileOf(order.provider, order.profile)
  return (
    known.redirectUri !== order.redirectUri ||
    profile.authorizeUrl !== next.authorizeUrl ||
    profile.tokenUrl !== next.tokenUrl
  )
}

/**
 * Whether the change may be made: what holds a host only with the client secret again, so that a key of the broker alone
 * leads no secret astray. Throws `client_secret_needed`, and `bad_request` for what is fixed at creation.
 */
export function checkChange(known: Integration, order: IntegrationOrder): void {
  if (known.provider !== order.provider) {
    throw new BrokerError('bad_request', 'provider: it is fixed when the integration is made.')
  }
  if (known.sandboxOrigin !== order.sandboxOrigin) {
    throw new BrokerError('bad_request', 'sandbox_origin: it is fixed at creation.')
  }
  if (movesHosts(known, order) && !knowsSecret(known, order.clientSecret)) {
    const detail = 'redirect_uri or a URL of the profile changes.'
    throw new BrokerError('client_secret_needed', detail)
  }
}

function knowsSecret(known: Integration, given: Secret | undefined): boolean {
  if (given === undefined) return false
  return [known.clientSecret, known.nextClientSecret].some(
    (each) => each !== null && equalInConstantTime(each.reveal(), given.reveal()),
  )
}

/** False: one of this name was made meanwhile. */
export async function insertIntegration(
  db: Kysely<Tables>,
  keyRing: KeyRing,
  name: string,
  order: IntegrationOrder & { clientSecret: Secret },
  made: { external?: boolean; provisionalUntil?: ReturnType<typeof sql<Date>> } = {},
): Promise<boolean> {
  const inserted = await db
    .insertInto('amo_integrations')
    .values({
      name,
      provider: order.provider,
      clientId: order.clientId,
      clientSecret: keyRing.seal(order.clientSecret, secretAt(name, 'clientSecret')),
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

export async function updateIntegration(
  db: Kysely<Tables>,
  keyRing: KeyRing,
  name: string,
  { clientId, clientSecret, redirectUri, acceptsInstalls, profile }: IntegrationOrder,
): Promise<void> {
  const sealed = clientSecret && keyRing.seal(clientSecret, secretAt(name, 'clientSecret'))
  await db
    .updateTable('amo_integrations')
    .set({
      clientId,
      redirectUri,
      acceptsInstalls,
      profile: JSON.stringify(profile),
      ...(sealed === undefined
        ? {}
        : { clientSecret: sealed, lastErrorCode: null, lastErrorAt: null }),
      updatedAt: sql<Date>`clock_timestamp()`,
    })
    .where('name', '=', name)
    .execute()
}

/** How many accounts keep it from being removed; 0: it is removed, with its links. */
export async function removeIntegration(db: Kysely<Tables>, name: string): Promise<number> {
  return db.transaction().execute(async (trx) => {
    await sql`select from amo_integrations where name = ${name} for update`.execute(trx)
    const { rows } = await sql<{ accounts: number }>`
      select count(*)::int as accounts from amo_tokens where integration = ${name}
    `.execute(trx)
    const accounts = rows[0]?.accounts ?? 0
    if (accounts === 0) await trx.deleteFrom('amo_integrations').where('name', '=', name).execute()
    return accounts
  })
}
