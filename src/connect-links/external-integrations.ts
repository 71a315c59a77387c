import { randomBytes } from 'node:crypto'
import { sql, type Transaction } from 'kysely'
import type { Logger } from 'pino'
import type { Database } from '../db/database.ts'
import type { ExternalSeed, SignedSeed } from '../db/tables/onboarding.ts'
import type { Tables } from '../db/tables.ts'
import type { Integrations } from '../integrations/directory.ts'
import { insertIntegration } from '../integrations/edit.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import { equalInConstantTime, type KeyedHash } from '../vault/keyed-hash.ts'
import type { Secret } from '../vault/secret.ts'
import { seedMac } from './seed-mac.ts'
import { checkState } from './state.ts'

/** The code follows the keys within seconds, but a person may have to log in first. */
const PROVISIONAL_MINUTES = 30
const NAME_BYTES = 6

export interface ExternalIntegrationsDependencies {
  database: Database
  integrations: Integrations
  keyRing: KeyRing
  states: KeyedHash
  log: Logger
}

/** The body of the provider's secrets keys. */
interface IntegrationKeys {
  clientId: string
  clientSecret: Secret
  state: string
}

export type ExternalIntegrationResult = 'accepted' | 'state_unknown' | 'state_used' | 'client_known'

/**
 * Creates the integration that a button made in an account, from the keys that the provider sends
 * (docs/provider.md, part 9). The keys are not signed: only the state, which the broker made and
 * which works once, shows where they belong. The new integration is provisional, and an existing
 * one is never changed.
 */
export async function createExternalIntegration(
  { database, integrations, keyRing, states, log }: ExternalIntegrationsDependencies,
  keys: IntegrationKeys,
): Promise<ExternalIntegrationResult> {
  // A forged state does not reach the database.
  const checked = checkState(states, keys.state, undefined)
  if ('problem' in checked) return 'state_unknown'
  const name = `external-${randomBytes(NAME_BYTES).toString('hex')}`
  const result = await database.db.transaction().execute(async (trx) => {
    const seed = await lockSeed(trx, states, checked.linkId)
    if (seed === undefined) return 'state_used'
    if (await isKnown(trx, keys.clientId)) return 'client_known'
    const order = {
      provider: seed.provider,
      clientId: keys.clientId,
      clientSecret: keys.clientSecret,
      redirectUri: seed.redirectUri,
      acceptsInstalls: false,
      sandboxOrigin: seed.sandboxOrigin,
      profile: seed.profile,
    }
    const until = sql<Date>`clock_timestamp() + ${PROVISIONAL_MINUTES} * interval '1 minute'`
    await insertIntegration(trx, keyRing, name, order, { external: true, provisionalUntil: until })
    await sql`
      update amo_connect_links set integration = ${name}, "secretsAt" = clock_timestamp()
      where id = ${checked.linkId}
    `.execute(trx)
    return 'accepted'
  })
  if (result !== 'accepted') return result
  await integrations.reload()
  log.info({ integration: name }, 'external integration created provisionally')
  return result
}

/**
 * Locks the link of a button that has not made its integration yet. The lock orders two calls with
 * one state.
 * @returns Undefined when there is none, or somebody has altered it in the database.
 */
async function lockSeed(
  trx: Transaction<Tables>,
  states: KeyedHash,
  linkId: string,
): Promise<ExternalSeed | undefined> {
  const { rows } = await sql<{ tokenHash: string; external: ExternalSeed & Partial<SignedSeed> }>`
    select "tokenHash", external from amo_connect_links
    where id = ${linkId} and external is not null and "secretsAt" is null and "usedAt" is null
      and "expiresAt" > now()
    for update
  `.execute(trx)
  const [row] = rows
  if (row === undefined) return undefined
  const { mac, ...seed } = row.external
  const isOurs = equalInConstantTime(seedMac(states, row.tokenHash, seed), mac ?? '')
  return isOurs ? seed : undefined
}

async function isKnown(trx: Transaction<Tables>, clientId: string): Promise<boolean> {
  const { rows } = await sql`select from amo_integrations where "clientId" = ${clientId}`.execute(
    trx,
  )
  return rows.length > 0
}

/**
 * Removes the integrations that buttons made and that no code has proved in time, with their links.
 *
 * @returns Their names.
 */
export async function removeUnprovedIntegrations({ db }: Database): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    delete from amo_integrations i
    where i."provisionalUntil" < clock_timestamp()
      and not exists (select from amo_tokens t where t.integration = i.name)
    returning name
  `.execute(db)
  return rows.map(({ name }) => name)
}
