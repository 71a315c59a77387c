import { type Kysely, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { AccountKey } from '../lib/account-key.ts'

/**
 * Records that the provider called this access token dead: it is no longer handed out, and its
 * rotation is due.
 */
export async function markAccessTokenDead(
  db: Kysely<Tables>,
  key: AccountKey,
  generation: number,
): Promise<void> {
  await sql`
    update amo_tokens set "accessDeadAt" = clock_timestamp(), "updatedAt" = clock_timestamp(),
      "nextAttemptAt" = case when "failedAttempts" = 0 then clock_timestamp() else "nextAttemptAt" end
    where integration = ${key.integration} and "accountId" = ${key.accountId}
      and generation = ${generation} and "accessDeadAt" is null
  `.execute(db)
}

/**
 * Announces a rotation before the promised time. Responses from now on end their promise before it.
 */
export async function announceRotation(
  db: Kysely<Tables>,
  key: AccountKey,
  generation: number,
  inMs: number,
): Promise<void> {
  await sql`
    update amo_tokens set "updatedAt" = clock_timestamp(),
      "nextAttemptAt" = clock_timestamp() + ${inMs} * interval '1 millisecond'
    where integration = ${key.integration} and "accountId" = ${key.accountId}
      and generation = ${generation} and kind = 'oauth' and status in ('active', 'pending')
  `.execute(db)
}
