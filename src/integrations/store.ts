import { type Kysely, type Selectable, sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'

export type IntegrationRow = Selectable<Tables['amo_integrations']>

/**
 * Blocks all sends of an integration until a canary request has succeeded. `reason` is the code of
 * the failure that opened it, `openUntil` the time from which the canary may be sent.
 */
export type OpenBreaker = Selectable<Tables['amo_open_breakers']>

/** The columns that the secrets of an integration are bound to. */
export const BOUND_COLUMNS = [
  ...(['name', 'provider', 'clientId', 'redirectUri', 'sandboxOrigin', 'profile'] as const),
] as const

/** Returns an integration and locks its row until the transaction ends. */
export function lockIntegration(
  trx: Transaction<Tables>,
  name: string,
): Promise<IntegrationRow | undefined> {
  return trx
    .selectFrom('amo_integrations')
    .selectAll()
    .where('name', '=', name)
    .forUpdate()
    .executeTakeFirst()
}

export function findIntegrations(db: Kysely<Tables>): Promise<IntegrationRow[]> {
  return db.selectFrom('amo_integrations').selectAll().orderBy('name').execute()
}

export function findOpenBreakers(db: Kysely<Tables>): Promise<OpenBreaker[]> {
  return db
    .selectFrom('amo_open_breakers')
    .select(['integration', 'key', 'reason', 'openedAt', 'openUntil'])
    .orderBy('key')
    .execute()
}

/** Finds the integrations with a breaker that counts failures which spent no token. */
export async function findFailing(db: Kysely<Tables>): Promise<Set<string>> {
  const { rows } = await sql<{ integration: string }>`
    select distinct integration from amo_breaker_scopes join amo_breakers using (key)
    where failures @> '[{"isAmbiguous": false}]'
  `.execute(db)
  return new Set(rows.map(({ integration }) => integration))
}

/** Sets the pace of the integrations whose pace no operator has set. */
export async function setCommonPace(db: Kysely<Tables>, pacePerSecond: number): Promise<void> {
  await db
    .updateTable('amo_integrations')
    .set({ pacePerSecond })
    .where('pacePerSecond', '!=', pacePerSecond)
    .where('hasOwnPace', '=', false)
    .execute()
}

/**
 * Sets the pace of one integration.
 *
 * @returns False when there is no such integration.
 */
export async function setOwnPace(
  db: Kysely<Tables>,
  name: string,
  pace: { pacePerSecond: number; hasOwnPace: boolean },
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('amo_integrations')
    .set({ ...pace, updatedAt: sql<Date>`clock_timestamp()` })
    .where('name', '=', name)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/** Records why the provider refuses this integration as a whole; null: it accepts it. */
export async function setIntegrationError(
  db: Kysely<Tables>,
  name: string,
  code: string | null,
): Promise<void> {
  await db
    .updateTable('amo_integrations')
    .set({ lastErrorCode: code, lastErrorAt: code === null ? null : new Date() })
    .where('name', '=', name)
    .where('lastErrorCode', 'is distinct from', code)
    .execute()
}

/** Stops sending for an integration that somebody has altered. */
export async function haltAltered(db: Kysely<Tables>, name: string): Promise<void> {
  await sql`
    update amo_integrations
    set state = 'halted', "stateReason" = 'altered in the database', "updatedAt" = clock_timestamp()
    where name = ${name} and state <> 'halted'
  `.execute(db)
}

/** Stops sending at the commit. A halted integration stays halted, with its reason. */
export async function pauseIntegrations(
  db: Kysely<Tables>,
  names: string[],
  reason: string,
): Promise<void> {
  await sql`
    update amo_integrations
    set state = 'paused', "stateReason" = ${reason}, "updatedAt" = clock_timestamp()
    where name = any(${names}::text[]) and state = 'running'
  `.execute(db)
}

/**
 * Resumes sending. Restarts the count of accounts that became `reauth_required`, and lets the
 * canary of an open breaker go at once, because an operator has looked at the problem.
 */
export async function resumeIntegrations(trx: Transaction<Tables>, names: string[]): Promise<void> {
  await sql`
    update amo_integrations
    set state = 'running', "stateReason" = null, "condemnedAt" = '{}', "updatedAt" = clock_timestamp()
    where name = any(${names}::text[])
  `.execute(trx)
  await tryAgainNow(trx, names)
}

/** Lets the canary of an open breaker go at once. */
export async function tryAgainNow(db: Kysely<Tables>, names: string[]): Promise<void> {
  await sql`
    update amo_breakers b set "openUntil" = clock_timestamp()
    from amo_breaker_scopes scopes
    where scopes.key = b.key and scopes.integration = any(${names}::text[])
      and b."openUntil" > clock_timestamp()
  `.execute(db)
}
