import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { AccountKey } from '../accounts/account-key.ts'
import type { Tables } from '../db/tables.ts'
import { CONNECT_LIMIT_MS } from '../provider/call.ts'
import { GATES } from './gates.ts'

/** A commit takes no longer on a healthy database; with limits of seconds (tests, the demo) it has as long as a send. */
const MAX_COMMIT_BUDGET_MS = 10_000

/**
 * Who waits for a claim. A lane may take the last token of an integration's pace bucket only above its reserve, so
 * that a reader who waits finds one when scheduled refreshes have taken all they may.
 */
export const LANES = { waiting: 0, due: 1, idle: 2, unproven: 3 } as const
export type Lane = keyof typeof LANES
/**
 * The bucket holds two seconds' worth, and always enough for the last lane. No more sends than it holds may be unanswered at a
 * time: a provider that answers late, or spends and fails, finds that few of them on their way (I10).
 */
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
  /**
   * How often the token has been sent under this claim, as far as its holder knows. A process that was stopped takes over its
   * own claim, and is its owner twice: whichever of the two comes second finds another count, and does nothing.
   */
  sendCount: number
  /** It may send through an open breaker, once its probe says that the provider works again. */
  isCanary: boolean
  /** Of the client secret that the token was last sent with. */
  secretMark?: string
  /** By `performance.now()`, counted from before the statement was sent: it ends here no later than there. */
  leaseEndsAtMs: number
}

/** What every claim is made as. */
export interface Claimant {
  claims: Kysely<Tables>
  /** The id of this process start: a restarted process owns nothing of what it owned before. */
  owner: string
  /** Null: this process holds, and claims nothing. */
  deploymentId: string | null
  keyIds: string[]
  sendLimitMs: number
  settleMs: number
  /** How long a breaker stays open at first. */
  breakerMs: number
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

/**
 * Claims accounts of an integration that are due, the longest waiting first, as many as its pace allows now: in lane `due`
 * those that somebody reads, in lane `idle` the others.
 */
export function claimDueAccounts(
  claimant: Claimant,
  integration: string,
  limit: number,
  lane: 'due' | 'idle' = 'due',
): Promise<Claim[]> {
  const due = sql`
    amo_is_idle(t) = ${lane === 'idle'} and t."nextAttemptAt" <= now()
    order by t."nextAttemptAt"
    limit (select least(${limit}::float8, greatest(0, floor(${room(lane)})))::int
      from amo_integrations i where i.name = ${integration})
    for no key update of t skip locked`
  return claim_(claimant, integration, lane, due)
}

/**
 * Claims one account for the send that finds out whether the provider works again, where a breaker's time is over: exactly
 * one, whichever replica and integration comes first. Any account that is due, so that none that is in a state of its own
 * keeps the breaker open for all.
 */
export async function claimCanaries(claimant: Claimant): Promise<Claim[]> {
  const { rows } = await sql<{ integration: string }>`
    select distinct integration from amo_open_breakers where "openUntil" <= clock_timestamp()
  `.execute(claimant.claims)
  // Both, named so that the index serves it.
  const due = sql`
    amo_is_idle(t) = any('{false,true}') and t."nextAttemptAt" <= now()
    order by random() limit 1
    for no key update of t skip locked`
  const claims = []
  for (const { integration } of rows) {
    claims.push(...(await claim_(claimant, integration, 'due', due, 'canary')))
  }
  return claims
}

const burst = sql`greatest(${MIN_BURST}::float8, i."pacePerSecond" * ${BURST_SECONDS}::float8)`

/** Tokens in an integration's pace bucket at this moment. */
export const bucket = sql`least(${burst},
  i."paceTokens" + i."pacePerSecond" * extract(epoch from clock_timestamp() - i."paceAt"))`

/** How many claims of this lane the integration has room for: by its pace, and by what is unanswered. */
export function room(lane: Lane): RawBuilder<number> {
  return sql<number>`(least(${bucket}, ${burst} - amo_unanswered(i.name)) - ${LANES[lane]}::float8)`
}

/**
 * The claim, one statement. Each part guards against a trace of the model checker:
 * `for no key update` in the same statement – a claim that waits behind a committing holder is judged by the row that
 * the holder left, not by its own older snapshot (R1);
 * the token comes from the locked row – none that was read earlier or later is ever sent (R2);
 * `on conflict do nothing` on unfinished attempts – at most one claim an account.
 * Lock order, everywhere: amo_tokens, amo_integrations, amo_breakers, amo_refresh_attempts.
 * `set_config` makes this one transaction wait for the disk, also behind a transaction pooler.
 */
async function claim_(
  claimant: Claimant,
  integration: string,
  lane: Lane,
  due: RawBuilder<unknown>,
  purpose: 'refresh' | 'canary' = 'refresh',
): Promise<Claim[]> {
  const gate = GATES[purpose]
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
        and ${gate.isPassable} and ${due}
    ), paced as (
      update amo_integrations i
      set "paceTokens" = ${bucket} - (select count(*) from due), "paceAt" = clock_timestamp()
      where i.name = ${integration} and i.state = 'running' and exists (select from due)
        and ${room(lane)} >= (select count(*) from due)
      returning i.name
    ), passed as (${gate.pass(leaseMs(claimant))}
    ), claimed as (
      insert into amo_refresh_attempts
        (integration, "accountId", generation, "refreshTokenFingerprint", owner, "leaseUntil", purpose)
      select passed.name, due."accountId", due.generation, due."refreshTokenFingerprint",
        ${claimant.owner}, clock_timestamp() + ${leaseMs(claimant)} * interval '1 millisecond', ${purpose}
      from due, (select distinct name from passed) passed
      on conflict (integration, "accountId") where "finishedAt" is null do nothing
      returning id, "accountId"
    )
    select claimed.id as "attemptId", "accountId", due.generation, due."refreshTokenFingerprint" as fingerprint,
      due."refreshToken", due.domain, due."apiDomain", 0 as "sendCount", ${purpose} = 'canary' as "isCanary"
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
      and a."sendCount" = ${claim.sendCount} and a."leaseUntil" > clock_timestamp()
      and t.integration = a.integration and t."accountId" = a."accountId"
      and t.generation = a.generation and t."refreshTokenFingerprint" = a."refreshTokenFingerprint"
      and t.status in ('active', 'pending') and not t.paused and not t.shadow
      and exists (select from amo_integrations i where i.name = t.integration and i.state = 'running')
      and a.purpose <> 'verdict' and (a.purpose = 'canary'
        or not exists (select from amo_open_breakers o where o.integration = t.integration))
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

/** A claim or an answer in the log. */
export function nameOf({
  integration,
  accountId,
  generation,
}: AccountKey & { generation: number }) {
  return { integration, account: accountId, generation }
}
