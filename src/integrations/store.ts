import { type Kysely, type Selectable, sql } from 'kysely'
import type { IntegrationConfig } from '../config.ts'
import type { Tables } from '../db/tables.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'

export type IntegrationRow = Selectable<Tables['amo_integrations']>

/** Nothing is sent for an integration behind an open breaker until a canary has shown that the provider works. */
export interface OpenBreaker {
  integration: string
  key: string
  /** The code of the failure that opened it. */
  reason: string
  openedAt: Date
  /** When the canary may go. */
  openUntil: Date
}

export function secretAt(name: string, column: 'clientSecret' | 'nextClientSecret') {
  return { table: 'amo_integrations', row: name, column, generation: 0 }
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

/** The integrations with a breaker that counts failures which spent nothing. */
export async function findFailing(db: Kysely<Tables>): Promise<Set<string>> {
  const { rows } = await sql<{ integration: string }>`
    select distinct integration from amo_breaker_scopes join amo_breakers using (key)
    where failures @> '[{"isAmbiguous": false}]'
  `.execute(db)
  return new Set(rows.map(({ integration }) => integration))
}

/**
 * Makes the integration that env describes, or applies env to it if env itself has changed since. Throws when env
 * would move an integration between the sandbox and the real provider.
 */
export async function seedIntegration(
  db: Kysely<Tables>,
  keyRing: KeyRing,
  hash: KeyedHash,
  seed: IntegrationConfig,
): Promise<void> {
  const envDigest = hash.of(
    JSON.stringify([seed.clientId, seed.clientSecret.reveal(), seed.redirectUri]),
  )
  const fields = {
    clientId: seed.clientId,
    clientSecret: keyRing.seal(seed.clientSecret, secretAt(seed.name, 'clientSecret')),
    redirectUri: seed.redirectUri,
    envDigest,
  }
  await db
    .insertInto('amo_integrations')
    .values({
      name: seed.name,
      provider: seed.provider,
      sandboxOrigin: seed.sandboxOrigin,
      ...fields,
    })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .execute()
  const { sandboxOrigin } = await db
    .selectFrom('amo_integrations')
    .select('sandboxOrigin')
    .where('name', '=', seed.name)
    .executeTakeFirstOrThrow()
  if (sandboxOrigin !== seed.sandboxOrigin) {
    throw new Error(
      `integration "${seed.name}" was created for ${sandboxOrigin ?? 'the real provider'} and stays there: ` +
        'correct its …_SANDBOX_ORIGIN, or use another database',
    )
  }
  const { numUpdatedRows } = await db
    .updateTable('amo_integrations')
    .set({ ...fields, lastErrorCode: null, lastErrorAt: null, updatedAt: new Date() })
    .where('name', '=', seed.name)
    .where((where) => where('envDigest', 'is distinct from', envDigest))
    .executeTakeFirstOrThrow()
  // A new secret: whether it is the right one is found out at once.
  if (numUpdatedRows > 0n) await tryAgainNow(db, [seed.name])
}

export async function setPace(db: Kysely<Tables>, pacePerSecond: number): Promise<void> {
  await db
    .updateTable('amo_integrations')
    .set({ pacePerSecond })
    .where('pacePerSecond', '!=', pacePerSecond)
    .execute()
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

/** Nothing is sent from the commit on. One that is halted stays that, with its reason. */
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

/** Begins a new count of condemnations, and lets the canary of an open breaker go at once: somebody has seen to it. */
export async function resumeIntegrations(db: Kysely<Tables>, names: string[]): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await sql`
      update amo_integrations
      set state = 'running', "stateReason" = null, "condemnedAt" = '{}', "updatedAt" = clock_timestamp()
      where name = any(${names}::text[])
    `.execute(trx)
    await tryAgainNow(trx, names)
  })
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
