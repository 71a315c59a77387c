import { sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { tokenAt } from '../vault/sealed-places.ts'
import type { CommitContext } from './commit-context.ts'
import { nextGeneration } from './fence.ts'
import { isInUse } from './idle.ts'
import { issuedAtOf } from './issued-at.ts'
import { planRefresh } from './plan.ts'
import type { ReceivedPair } from './received-pair.ts'

/**
 * Puts a received pair into the row if the row still has the token that was sent for it (I3). The
 * generation is not compared: a failover may have forgotten the pair that was sent, and its
 * journaled response has brought it back under a new one. Its token is spent all the same (T12).
 * @returns the new generation, or undefined when the row has another pair than the one that was
 *   sent.
 */
export async function putPairIntoRow(
  { keyRing, clock }: CommitContext,
  trx: Transaction<Tables>,
  received: ReceivedPair,
  fingerprint: string,
): Promise<number | undefined> {
  const { integration, accountId, pair, isAccessDead = false } = received
  const generation = await nextGeneration(trx)
  const plan = planRefresh(received.sentAtMs, pair.lifetimeSeconds, clock.random())
  const at = { integration, accountId, generation }
  const { rows } = await sql`
    update amo_tokens
    set generation = ${generation},
      "accessToken" = ${keyRing.seal(pair.accessToken, tokenAt(at, 'accessToken'))},
      "refreshToken" = ${keyRing.seal(pair.refreshToken, tokenAt(at, 'refreshToken'))},
      "refreshTokenFingerprint" = ${fingerprint},
      "apiDomain" = coalesce(${pair.claims?.apiDomain ?? null}, "apiDomain"),
      "issuedAt" = ${issuedAtOf(pair.claims, received.sentAtMs)}, "expiresAt" = ${plan.expiresAt}, "refreshAt" = ${plan.refreshAt},
      "nextAttemptAt" = case when ${isAccessDead} then clock_timestamp() when ${isInUse} then ${plan.refreshAt} else ${plan.idleAt} end::timestamptz,
      "refreshTokenExpiresAt" = ${plan.refreshTokenExpiresAt},
      "isRestored" = false, "failedAttempts" = 0, "accessDeadAt" = case when ${isAccessDead} then clock_timestamp() end, "lastErrorCode" = null, "lastErrorAt" = null,
      "lastRefreshAt" = clock_timestamp(), "updatedAt" = clock_timestamp(),
      status = case when status <> 'reauth_required' then status
        when "approvedAt" is null then 'pending' else 'active' end
    where integration = ${integration} and "accountId" = ${accountId}
      and "refreshTokenFingerprint" = ${received.fingerprint}
    returning generation
  `.execute(trx)
  return rows.length === 1 ? generation : undefined
}
