import { type Kysely, sql } from 'kysely'
import type { AccountKey } from '../accounts/account-key.ts'
import type { Tables } from '../db/tables.ts'

/** The provider says that this access token is dead: nobody hands it out any more, and its rotation is due. */
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

/** Announces a rotation before the promised time: answers made from now on end before it. */
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
