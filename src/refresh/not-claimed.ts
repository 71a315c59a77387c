import { sql } from 'kysely'
import type { AccountKey } from '../accounts/account-key.ts'
import type { Claimant } from './claim.ts'

export type NotClaimed =
  | { reason: 'gone' | 'moved_on' | 'not_due' | 'not_sendable' | 'held_back' | 'paced' | 'breaker' }
  | { reason: 'held'; leaseLeftMs: number }

/** Why `claimAccount` claimed nothing, as of now. */
export async function whyNotClaimed(
  claimant: Claimant,
  key: AccountKey,
  generation: number,
): Promise<NotClaimed> {
  const { rows } = await sql<{
    generation: number
    isSendable: boolean
    isDue: boolean
    failedAttempts: number
    isBehindBreaker: boolean
    leaseLeftMs: number | null
  }>`
    select t.generation, t."failedAttempts",
      t.status in ('active', 'pending') and t.kind = 'oauth' and not t.paused and not t.shadow
        and split_part(t."refreshToken", '.', 1) = any(${claimant.keyIds}::text[])
        and i.state = 'running' and d."deploymentId" is not null as "isSendable",
      coalesce(t."nextAttemptAt" <= clock_timestamp()
        or (t."failedAttempts" = 0 and t."refreshAt" <= clock_timestamp()), false) as "isDue",
      exists (select from amo_open_breakers o where o.integration = t.integration) as "isBehindBreaker",
      (extract(epoch from a."leaseUntil" - clock_timestamp()) * 1000)::float8 as "leaseLeftMs"
    from amo_tokens t
    join amo_integrations i on i.name = t.integration
    left join amo_deployment d on d."deploymentId" = ${claimant.deploymentId}
    left join amo_refresh_attempts a on a.integration = t.integration
      and a."accountId" = t."accountId" and a."finishedAt" is null
    where t.integration = ${key.integration} and t."accountId" = ${key.accountId}
  `.execute(claimant.claims)
  const [row] = rows
  if (row === undefined) return { reason: 'gone' }
  if (row.generation !== generation) return { reason: 'moved_on' }
  if (row.leaseLeftMs !== null) return { reason: 'held', leaseLeftMs: Math.max(0, row.leaseLeftMs) }
  if (!row.isSendable) return { reason: 'not_sendable' }
  if (!row.isDue) return { reason: row.failedAttempts > 0 ? 'held_back' : 'not_due' }
  return { reason: row.isBehindBreaker ? 'breaker' : 'paced' }
}
