import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { AccountKey } from '../accounts/account-key.ts'
import type { Tables } from '../db/tables.ts'
import { CONNECT_LIMIT_MS } from '../provider/call.ts'

/** A commit takes no longer on a healthy database; with limits of seconds (tests, the demo) it has as long as a send. */
const MAX_COMMIT_BUDGET_MS = 10_000

/**
 * Who waits for a claim. A lane may take the last token of an integration's pace bucket only above its reserve, so
 * that a reader who waits finds one when scheduled refreshes have taken all they may.
 */
export const LANES = { waiting: 0, due: 1, idle: 2, unproven: 3 } as const
export type Lane = keyof typeof LANES
/** The bucket holds two seconds' worth, and always enough for the last lane. */
const MIN_BURST = 4
const BURST_SECONDS = 2

/** The right to refresh one account, and the only token that may be sent under it. */
export interface Claim extends AccountKey {
  attemptId: number
  generation: number
  fingerprint: string
  /** Sealed. As it stood on the locked row. */
  refreshToken: string
  domain: string | null
  apiDomain: string | null
  /** How often the token has been sent under this claim. */
  sendCount: number
  /** By `performance.now()`, counted from before the statement was sent: it ends here no later than there. */
  leaseEndsAtMs: number
}

/** What every claim is made as. */
export interface Claimant {
  claims: Kysely<Tables>
  /** The id of this process start: a restarted process owns nothing of what it owned before. */
  owner: string
  deploymentId: string
  keyIds: string[]
  sendLimitMs: number
  settleMs: number
}

/** What is kept of a lease for the commit that follows an answer. */
export function commitBudgetMs({ sendLimitMs }: Claimant): number {
  return Math.min(MAX_COMMIT_BUDGET_MS, sendLimitMs)
}

/** From the claim, or from the last send, until another replica may take the claim over. */
export function leaseMs(claimant: Claimant): number {
  return CONNECT_LIMIT_MS + claimant.sendLimitMs + commitBudgetMs(claimant)
}

type ClaimRow = Omit<Claim, 'leaseEndsAtMs' | 'integration'>

/**
 * Claims one account, if on its locked row it still has `generation`, may be sent, and is due: at its planned time,
 * or as soon as its promise is over and no failure holds it back. Undefined: `whyNotClaimed` says why.
 */
export async function claimAccount(
  claimant: Claimant,
  key: AccountKey,
  generation: number,
  lane: Lane,
): Promise<Claim | undefined> {
  const due = sql`
    t."accountId" = ${key.accountId} and t.generation = ${generation}
    and (t."nextAttemptAt" <= clock_timestamp()
      or (t."failedAttempts" = 0 and t."refreshAt" <= clock_timestamp()))
    for no key update of t`
  const [claim] = await claim_(claimant, key.integration, lane, due)
  return claim
}

/** Claims accounts of an integration that are due, the longest waiting first, as many as its pace allows now. */
export function claimDueAccounts(
  claimant: Claimant,
  integration: string,
  limit: number,
): Promise<Claim[]> {
  const due = sql`
    t."nextAttemptAt" <= now()
    order by t."nextAttemptAt"
    limit (select least(${limit}::float8, greatest(0, floor(${bucket} - ${LANES.due}::float8)))::int
      from amo_integrations i where i.name = ${integration})
    for no key update of t skip locked`
  return claim_(claimant, integration, 'due', due)
}

/** Tokens in an integration's pace bucket at this moment. */
const bucket = sql`least(
  greatest(${MIN_BURST}::float8, i."pacePerSecond" * ${BURST_SECONDS}::float8),
  i."paceTokens" + i."pacePerSecond" * extract(epoch from clock_timestamp() - i."paceAt"))`

/**
 * The claim, one statement. Each part guards against a trace of the model checker:
 * `for no key update` in the same statement – a claim that waits behind a committing holder is judged by the row that
 * the holder left, not by its own older snapshot (R1);
 * the token comes from the locked row – none that was read earlier or later is ever sent (R2);
 * `on conflict do nothing` on unfinished attempts – at most one claim an account.
 * Lock order, everywhere: amo_tokens, amo_integrations, amo_refresh_attempts.
 * `set_config` makes this one transaction wait for the disk, also behind a transaction pooler.
 */
async function claim_(
  claimant: Claimant,
  integration: string,
  lane: Lane,
  due: RawBuilder<unknown>,
): Promise<Claim[]> {
  const askedAtMs = performance.now()
  const { rows } = await sql<ClaimRow>`
    with due as materialized (
      select t."accountId", t.generation, t."refreshTokenFingerprint", t."refreshToken",
        t.domain, t."apiDomain", set_config('synchronous_commit', 'on', true)
      from amo_tokens t
      where t.integration = ${integration}
        and t.status in ('active', 'pending') and t.kind = 'oauth' and not t.paused and not t.shadow
        and split_part(t."refreshToken", '.', 1) = any(${claimant.keyIds}::text[])
        and exists (select from amo_deployment where "deploymentId" = ${claimant.deploymentId})
        and not exists (select from amo_refresh_attempts a where a.integration = t.integration
          and a."accountId" = t."accountId" and a."finishedAt" is null)
        and ${due}
    ), paced as (
      update amo_integrations i
      set "paceTokens" = ${bucket} - (select count(*) from due), "paceAt" = clock_timestamp()
      where i.name = ${integration} and i.state = 'running' and exists (select from due)
        and ${bucket} - ${LANES[lane]}::float8 >= (select count(*) from due)
      returning i.name
    ), claimed as (
      insert into amo_refresh_attempts
        (integration, "accountId", generation, "refreshTokenFingerprint", owner, "leaseUntil")
      select paced.name, due."accountId", due.generation, due."refreshTokenFingerprint",
        ${claimant.owner}, clock_timestamp() + ${leaseMs(claimant)} * interval '1 millisecond'
      from due, paced
      on conflict (integration, "accountId") where "finishedAt" is null do nothing
      returning id, "accountId"
    )
    select claimed.id as "attemptId", "accountId", due.generation, due."refreshTokenFingerprint" as fingerprint,
      due."refreshToken", due.domain, due."apiDomain", 0 as "sendCount"
    from claimed join due using ("accountId")
  `.execute(claimant.claims)
  const leaseEndsAtMs = askedAtMs + leaseMs(claimant)
  return rows.map((row) => ({ ...row, integration, leaseEndsAtMs }))
}

/**
 * Writes down, before every send, that the token is about to be sent, and renews the lease. False: the attempt is not
 * ours any more, or the row has moved on; then nothing may be sent.
 */
export async function recordSend(claimant: Claimant, claim: Claim): Promise<boolean> {
  const askedAtMs = performance.now()
  const { rows } = await sql<{ sendCount: number }>`
    update amo_refresh_attempts a
    set "sentAt" = clock_timestamp(), "sendCount" = a."sendCount" + 1,
      "leaseUntil" = clock_timestamp() + ${leaseMs(claimant)} * interval '1 millisecond'
    from amo_tokens t
    where a.id = ${claim.attemptId} and a.owner = ${claimant.owner} and a."finishedAt" is null
      and a."leaseUntil" > clock_timestamp()
      and t.integration = a.integration and t."accountId" = a."accountId"
      and t.generation = a.generation and t."refreshTokenFingerprint" = a."refreshTokenFingerprint"
      and t.status in ('active', 'pending') and not t.paused and not t.shadow
      and exists (select from amo_integrations i where i.name = t.integration and i.state = 'running')
      and set_config('synchronous_commit', 'on', true) = 'on'
    returning a."sendCount"
  `.execute(claimant.claims)
  const [row] = rows
  if (row === undefined) return false
  claim.sendCount = row.sendCount
  claim.leaseEndsAtMs = askedAtMs + leaseMs(claimant)
  return true
}

/**
 * Whether enough of the lease is left for an answer and its commit. Asked in the tick that writes the bytes: a process
 * that was stopped since `recordSend` finds its claim run out here.
 */
export function mayWrite(claimant: Claimant, claim: Claim): boolean {
  const neededMs = claimant.sendLimitMs + commitBudgetMs(claimant)
  return claim.leaseEndsAtMs - performance.now() >= neededMs
}

export type NotClaimed =
  | { reason: 'gone' | 'moved_on' | 'not_due' | 'not_sendable' | 'held_back' | 'paced' }
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
    leaseLeftMs: number | null
  }>`
    select t.generation, t."failedAttempts",
      t.status in ('active', 'pending') and t.kind = 'oauth' and not t.paused and not t.shadow
        and split_part(t."refreshToken", '.', 1) = any(${claimant.keyIds}::text[])
        and i.state = 'running' and d."deploymentId" is not null as "isSendable",
      coalesce(t."nextAttemptAt" <= clock_timestamp()
        or (t."failedAttempts" = 0 and t."refreshAt" <= clock_timestamp()), false) as "isDue",
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
  return { reason: 'paced' }
}

/** A claim or an answer in the log. */
export function nameOf({
  integration,
  accountId,
  generation,
}: AccountKey & { generation: number }) {
  return { integration, account: accountId, generation }
}
