import { type RawBuilder, sql } from 'kysely'
import type { AccountStatus } from '../db/tables.ts'
import type { Claim, Claimant } from './claim.ts'
import type { FailureCode } from './failures.ts'
import { atStep } from './steps.ts'

/** A condemned account is probed again after minutes, hours, days: refusals and probes have been wrong before. */
const RECHECK_AFTER_SECONDS = [120, 600, 3_600, 6 * 3_600, 24 * 3_600]
/** Failures double the wait from a second up to this; a blocked address can last for hours. */
const MAX_BACKOFF_SECONDS = 600

/**
 * Ends a claim whose token is unspent, and tries again after a wait that doubles with every failure, spread so that
 * accounts that failed together do not come back together.
 */
export async function holdBack(
  claimant: Claimant,
  claim: Claim,
  code: FailureCode,
  outcome: 'refused' | 'not_sent',
  retryAfterSeconds = 0,
): Promise<void> {
  const end = sql`"finishedAt" = clock_timestamp(), outcome = ${outcome}, "outcomeCode" = ${code}`
  await change(
    claimant,
    claim,
    end,
    sql`"failedAttempts" = "failedAttempts" + 1, ${lastError(code)},
      "nextAttemptAt" = clock_timestamp() + interval '1 second' * (0.75 + random() / 2)
        * greatest(${retryAfterSeconds}::float8, least(${MAX_BACKOFF_SECONDS}, 2 ^ least("failedAttempts", 20)))`,
  )
  atStep('held_back', claim)
}

/**
 * Ends a claim whose token was never sent under it, or was proved unspent since, without a trace on the account, and wakes
 * who waits.
 */
export async function giveBack(
  claimant: Claimant,
  claim: Claim,
  isProvedUnspent = false,
): Promise<void> {
  await sql`
    update amo_refresh_attempts set "finishedAt" = clock_timestamp(), outcome = 'not_sent'
    where id = ${claim.attemptId} and owner = ${claimant.owner} and "finishedAt" is null
      and "sendCount" = ${claim.sendCount} and ("sendCount" = 0 or ${isProvedUnspent}::boolean)
    returning pg_notify('amo_tokens',
      json_build_array(integration, "accountId", generation)::text)
  `.execute(claimant.claims)
  atStep('given_back', claim)
}

/**
 * Lets a claim go whose send ended unclear: the lease ends now, the claim stays. Whoever takes it over after the settle
 * time finds out what became of the token; meanwhile nobody sends it.
 */
export async function handOver(claimant: Claimant, claim: Claim, code: FailureCode): Promise<void> {
  const end = sql`"leaseUntil" = clock_timestamp(), "outcomeCode" = ${code}`
  await change(claimant, claim, end, lastError(code))
  atStep('handed_over', claim)
}

/** Ends a look at an account that changed nothing: without a trace on an account that nobody condemned. */
export async function endCheck(claimant: Claimant, claim: Claim): Promise<void> {
  await change(claimant, claim, CHECKED, sql`"nextAttemptAt" = t."nextAttemptAt"`)
}

/** Ends a look at a condemned account that found it as it was: the next look comes later, and none after its token's end. */
export async function recheckLater(claimant: Claimant, claim: Claim): Promise<void> {
  await change(
    claimant,
    claim,
    CHECKED,
    sql`"failedAttempts" = "failedAttempts" + 1,
      "nextAttemptAt" = case when "refreshTokenExpiresAt" > clock_timestamp()
        then ${recheckAt(sql`"failedAttempts" + 1`)} end`,
    ['reauth_required'],
  )
}

/** The provider says that the token of a condemned account lives: it is due at once. Fenced like a commit. */
export function revive(claimant: Claimant, claim: Claim): Promise<boolean> {
  return change(
    claimant,
    claim,
    CHECKED,
    sql`status = case when "approvedAt" is null then 'pending' else 'active' end,
      "failedAttempts" = 0, "nextAttemptAt" = clock_timestamp(),
      "lastErrorCode" = null, "lastErrorAt" = null`,
    ['reauth_required'],
  )
}

/** A disconnect hook that a probe confirmed. Fenced like a commit. */
export function disconnect(claimant: Claimant, claim: Claim): Promise<boolean> {
  return change(claimant, claim, CHECKED, sql`status = 'disconnected', "nextAttemptAt" = null`)
}

const CHECKED = sql`"finishedAt" = clock_timestamp(), outcome = 'not_sent', "outcomeCode" = 'checked'`

export function recheckAt(times: RawBuilder<unknown>): RawBuilder<unknown> {
  const waits = sql`${RECHECK_AFTER_SECONDS}::float8[]`
  return sql`clock_timestamp() + interval '1 second' * (0.75 + random() / 2)
    * (${waits})[least(${times}, ${RECHECK_AFTER_SECONDS.length})]`
}

export function lastError(code: FailureCode): RawBuilder<unknown> {
  return sql`"lastErrorCode" = ${code}, "lastErrorAt" = clock_timestamp()`
}

/**
 * Changes attempt and account together, or neither. The attempt is changed before the account, so that the owner is
 * judged as a take-over that commits meanwhile left it (an `exists` on the attempt would be judged by the older
 * snapshot); the account is locked before both, as everywhere. True when the account was changed; one that nobody may use any more stays as it is.
 */
async function change(
  claimant: Claimant,
  claim: Claim,
  attempt: RawBuilder<unknown>,
  account: RawBuilder<unknown>,
  statuses: AccountStatus[] = ['active', 'pending'],
): Promise<boolean> {
  const { rows } = await sql`
    with locked as materialized (
      select t.integration, t."accountId", set_config('synchronous_commit', 'on', true)
      from amo_tokens t
      where t.integration = ${claim.integration} and t."accountId" = ${claim.accountId}
        and t.generation = ${claim.generation} and t."refreshTokenFingerprint" = ${claim.fingerprint}
      for no key update of t
    ), changed as (
      update amo_refresh_attempts a set ${attempt}
      from locked
      where a.id = ${claim.attemptId} and a.owner = ${claimant.owner} and a."finishedAt" is null
        and a."sendCount" = ${claim.sendCount}
        and a.integration = locked.integration and a."accountId" = locked."accountId"
      returning a.integration, a."accountId"
    )
    update amo_tokens t set ${account}, "updatedAt" = clock_timestamp()
    from changed
    where t.integration = changed.integration and t."accountId" = changed."accountId"
      and t.status = any(${statuses}::text[])
    returning t."accountId"
  `.execute(claimant.claims)
  return rows.length === 1
}

/** Stores where the provider says the account is now. Whoever had that name before has lost it. */
export async function moveAccount(claimant: Claimant, claim: Claim, domain: string): Promise<void> {
  await claimant.claims.transaction().execute(async (trx) => {
    await sql`
      update amo_tokens set domain = null, "updatedAt" = clock_timestamp()
      where integration = ${claim.integration} and domain = ${domain}
        and "accountId" <> ${claim.accountId}
    `.execute(trx)
    await sql`
      update amo_tokens set domain = ${domain}, "updatedAt" = clock_timestamp()
      where integration = ${claim.integration} and "accountId" = ${claim.accountId}
        and generation = ${claim.generation}
    `.execute(trx)
  })
  claim.domain = domain
}

/**
 * Whether this token was ever sent by us under another claim without being proved unspent: then a refusal may be the echo
 * of that send, and "spent by somebody else" would be wrong.
 */
export async function wasSentBefore(claimant: Claimant, claim: Claim): Promise<boolean> {
  const { rows } = await sql`
    select from amo_refresh_attempts
    where "refreshTokenFingerprint" = ${claim.fingerprint} and id <> ${claim.attemptId}
      and "sendCount" > 0 and outcome is distinct from 'refused'
      and outcome is distinct from 'not_sent'
    limit 1
  `.execute(claimant.claims)
  return rows.length > 0
}
