import { randomBytes } from 'node:crypto'
import { sql, type Transaction } from 'kysely'
import type { Logger } from 'pino'
import type { Database } from '../db/database.ts'
import type { ExternalSeed, Tables } from '../db/tables.ts'
import { insertIntegration } from '../integrations/edit.ts'
import type { Integrations } from '../integrations/service.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import type { Secret } from '../vault/secret.ts'
import { checkState } from './state.ts'

/** Seconds pass between the keys and the code; a person may have to log in in between. */
const PROVISIONAL_MINUTES = 30
const NAME_BYTES = 6

export interface SecretsDependencies {
  database: Database
  integrations: Integrations
  keyRing: KeyRing
  states: KeyedHash
  log: Logger
}

export interface SecretsHook {
  clientId: string
  clientSecret: Secret
  state: string
}

export type SecretsResult = 'accepted' | 'state_unknown' | 'state_used' | 'client_known'

/**
 * The keys of an integration that a button made (provider page, part 9). Nothing signs them: all that ties them to us is a state
 * that the broker made, once. They make a new, provisional integration, and never touch one that is there.
 */
export async function receiveSecrets(
  { database, integrations, keyRing, states, log }: SecretsDependencies,
  hook: SecretsHook,
): Promise<SecretsResult> {
  // A state that was made up costs the database nothing.
  const checked = checkState(states, hook.state, undefined)
  if ('problem' in checked) return 'state_unknown'
  const name = `external-${randomBytes(NAME_BYTES).toString('hex')}`
  const result = await database.db.transaction().execute(async (trx) => {
    const seed = await lockSeed(trx, checked.linkId)
    if (seed === undefined) return 'state_used'
    if (await isKnown(trx, hook.clientId)) return 'client_known'
    const order = {
      provider: seed.provider === 'kommo' ? ('kommo' as const) : ('amocrm' as const),
      clientId: hook.clientId,
      clientSecret: hook.clientSecret,
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
  log.info({ integration: name }, 'external integration made, provisionally')
  return result
}

/** Of a button that has not made an integration yet; two calls with one state are ordered by the lock. */
async function lockSeed(
  trx: Transaction<Tables>,
  linkId: string,
): Promise<ExternalSeed | undefined> {
  const { rows } = await sql<{ external: ExternalSeed }>`
    select external from amo_connect_links
    where id = ${linkId} and external is not null and "secretsAt" is null and "usedAt" is null
      and "expiresAt" > now()
    for update
  `.execute(trx)
  return rows[0]?.external
}

async function isKnown(trx: Transaction<Tables>, clientId: string): Promise<boolean> {
  const { rows } = await sql`select from amo_integrations where "clientId" = ${clientId}`.execute(
    trx,
  )
  return rows.length > 0
}

/** Removes what a button made and no code has proved since; its link goes with it. Returns the names. */
export async function removeUnproved({ db }: Database): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    delete from amo_integrations i
    where i."provisionalUntil" < clock_timestamp()
      and not exists (select from amo_tokens t where t.integration = i.name)
    returning name
  `.execute(db)
  return rows.map(({ name }) => name)
}
