import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import type { AccountKey } from '../accounts/account-key.ts'
import { tokenAt } from '../accounts/sealed-tokens.ts'
import type { Tables } from '../db/tables.ts'
import type { KeyRing } from '../vault/key-ring.ts'
import type { KeyedHash } from '../vault/keyed-hash.ts'
import { type Answer, type Fence, pairToJson } from './answer.ts'
import { isParked, lockDisplaced, parkedAt, parkPair } from './parking.ts'
import { IDLE_AFTER_DAYS, planRefresh } from './plan.ts'
import { atStep } from './steps.ts'

export interface Committer {
  claims: Kysely<Tables>
  keyRing: KeyRing
  fingerprints: KeyedHash
}

/**
 * `already`: the row has this pair; the acknowledgement of its commit got lost. `replaced`: it was committed before, and a
 * newer pair has followed it. `parked`: another pair is newer. `foreign`: its access token names another account, which
 * nobody may be handed; it is parked, and what is to be done stays open. `not_ours`: it was to be adopted under a claim that
 * has another owner by now. `removed`: an operator removed the account since; the pair is dropped.
 */
export type CommitResult =
  | { result: 'committed'; generation: number }
  | { result: 'already' | 'replaced' | 'parked' | 'foreign' | 'not_ours' | 'removed' }

/**
 * Puts a pair that arrived into the account's row, in one transaction. The fence alone decides, generation and
 * fingerprint of the pair that was presented: never who owns the claim, nor whether the attempt is finished (R4),
 * and a condemned account is revived (R6). A pair that does not fit is parked, sealed, in the ledger: none is
 * thrown away. Throws when the database does not take it; calling it again is always right.
 */
export function commitAnswer(committer: Committer, answer: Answer): Promise<CommitResult> {
  return committer.claims.transaction().execute(async (trx) => {
    await sql`select set_config('synchronous_commit', 'on', true)`.execute(trx)
    const result = await putIntoRow(committer, trx, answer)
    atStep('commit_prepared', answer)
    return result
  })
}

async function putIntoRow(
  committer: Committer,
  trx: Transaction<Tables>,
  answer: Answer,
): Promise<CommitResult> {
  const { claims, refreshToken } = answer.pair
  if (claims !== undefined && claims.accountId !== answer.accountId) {
    if (await wasRemoved(trx, answer)) return { result: 'removed' }
    await park(committer, trx, answer, false)
    return { result: 'foreign' }
  }
  const fingerprint = committer.fingerprints.of(refreshToken)
  const isAdopted = answer.adoptedBy !== undefined
  const displaced = isAdopted ? await lockDisplaced(committer.keyRing, trx, answer) : undefined
  if (isAdopted && !(await isAdopters(trx, answer))) return { result: 'not_ours' }
  const generation = await updateRow(committer, trx, answer, fingerprint)
  if (generation !== undefined) {
    // It was judged dead, and such a judgement has been wrong before.
    if (displaced !== undefined) await parkPair(trx, ...displaced)
    await finishAttempt(trx, answer, fingerprint)
    return { result: 'committed', generation }
  }
  const row = await trx
    .selectFrom('amo_tokens')
    .select('refreshTokenFingerprint')
    .where('integration', '=', answer.integration)
    .where('accountId', '=', answer.accountId)
    .executeTakeFirst()
  if (row?.refreshTokenFingerprint === fingerprint) {
    await finishAttempt(trx, answer, fingerprint)
    return { result: 'already' }
  }
  if (await wasRemoved(trx, answer)) return { result: 'removed' }
  if (await wasCommitted(trx, answer, fingerprint)) return { result: 'replaced' }
  await park(committer, trx, answer)
  return { result: 'parked' }
}

/** An account that is new counts as read for as long. */
const isRead = sql`greatest("lastReadAt", "createdAt")
  > clock_timestamp() - ${IDLE_AFTER_DAYS} * interval '1 day'`

async function updateRow(
  { keyRing }: Committer,
  trx: Transaction<Tables>,
  answer: Answer,
  fingerprint: string,
): Promise<number | undefined> {
  const { integration, accountId, pair, isAccessDead = false } = answer
  const generation = await nextGeneration(trx)
  const plan = planRefresh(answer.sentAtMs, pair.lifetimeSeconds)
  const at = { integration, accountId, generation }
  const { rows } = await sql`
    update amo_tokens
    set generation = ${generation},
      "accessToken" = ${keyRing.seal(pair.accessToken, tokenAt(at, 'accessToken'))},
      "refreshToken" = ${keyRing.seal(pair.refreshToken, tokenAt(at, 'refreshToken'))},
      "refreshTokenFingerprint" = ${fingerprint},
      "apiDomain" = coalesce(${pair.claims?.apiDomain ?? null}, "apiDomain"),
      "issuedAt" = ${issuedAt(answer)}, "expiresAt" = ${plan.expiresAt}, "refreshAt" = ${plan.refreshAt},
      "nextAttemptAt" = case when ${isAccessDead} then clock_timestamp() when ${isRead} then ${plan.refreshAt} else ${plan.idleAt} end::timestamptz,
      "refreshTokenExpiresAt" = ${plan.refreshTokenExpiresAt},
      "failedAttempts" = 0, "accessDeadAt" = case when ${isAccessDead} then clock_timestamp() end, "lastErrorCode" = null, "lastErrorAt" = null,
      "lastRefreshAt" = clock_timestamp(), "updatedAt" = clock_timestamp(),
      status = case when status <> 'reauth_required' then status
        when "approvedAt" is null then 'pending' else 'active' end
    where integration = ${integration} and "accountId" = ${accountId}
      and generation = ${answer.generation} and "refreshTokenFingerprint" = ${answer.fingerprint}
    returning generation
  `.execute(trx)
  return rows.length === 1 ? generation : undefined
}

/** The pair that the row has now. Undefined: the account is gone, or has no refresh token. */
export async function findFence(
  db: Kysely<Tables>,
  { integration, accountId }: AccountKey,
): Promise<Fence | undefined> {
  const row = await db
    .selectFrom('amo_tokens')
    .select(['generation', 'refreshTokenFingerprint as fingerprint'])
    .where('integration', '=', integration)
    .where('accountId', '=', accountId)
    .executeTakeFirst()
  if (row === undefined || row.fingerprint === null) return undefined
  return { integration, accountId, generation: row.generation, fingerprint: row.fingerprint }
}

/** One sequence for all accounts: a generation is never used twice, and a later one is newer. */
export async function nextGeneration(trx: Transaction<Tables>): Promise<number> {
  const { rows } = await sql<{ generation: number }>`
    select nextval('amo_generation') as generation
  `.execute(trx)
  return Number(rows[0]?.generation)
}

function issuedAt(answer: Answer): Date {
  const seconds = answer.pair.claims?.issuedAtSeconds
  return new Date(seconds === undefined ? answer.sentAtMs : seconds * 1000)
}

/**
 * The attempt that an answer belongs to. Not by its id alone: a database that lost its newest rows hands ids out again.
 */
function attemptOf(answer: Answer): RawBuilder<boolean> {
  return sql`id = ${answer.attemptId} and integration = ${answer.integration}
    and "accountId" = ${answer.accountId} and generation = ${answer.generation}
    and "refreshTokenFingerprint" = ${answer.fingerprint}`
}

/** Also an attempt that somebody else has finished meanwhile: what came of it is known now. */
async function finishAttempt(
  trx: Transaction<Tables>,
  answer: Answer,
  fingerprint: string,
): Promise<void> {
  await sql`
    update amo_refresh_attempts
    set outcome = 'committed', "outcomeCode" = null, "committedFingerprint" = ${fingerprint},
      "finishedAt" = coalesce("finishedAt", clock_timestamp())
    where ${attemptOf(answer)}
  `.execute(trx)
}

/** Nobody else's verdict than the claim's owner's says that the row's own pair is dead. */
async function isAdopters(
  trx: Transaction<Tables>,
  { attemptId, adoptedBy }: Answer,
): Promise<boolean> {
  const { rows } = await sql`
    select from amo_refresh_attempts
    where id = ${attemptId} and "finishedAt" is null
      and owner = ${adoptedBy?.owner ?? ''} and "sendCount" = ${adoptedBy?.sendCount ?? 0}
    for update
  `.execute(trx)
  return rows.length > 0
}

/** This very pair was committed before, and replaced by a newer one since. */
async function wasCommitted(
  trx: Transaction<Tables>,
  answer: Answer,
  fingerprint: string,
): Promise<boolean> {
  const { rows } = await sql`
    select from amo_refresh_attempts
    where ${attemptOf(answer)} and "committedFingerprint" = ${fingerprint}
  `.execute(trx)
  return rows.length > 0
}

/** The account was removed at this generation or a later one: what comes in for it is nobody's any more. */
async function wasRemoved(trx: Transaction<Tables>, answer: Answer): Promise<boolean> {
  const { rows } = await sql`
    select from amo_removals where integration = ${answer.integration}
      and "accountId" = ${answer.accountId} and generation >= ${answer.generation}
  `.execute(trx)
  return rows.length > 0
}

async function park(
  { keyRing }: Committer,
  trx: Transaction<Tables>,
  answer: Answer,
  isFinished = true,
): Promise<void> {
  const sealed = keyRing.seal(pairToJson(answer.pair), parkedAt(answer))
  const end = isFinished
    ? sql`, outcome = 'superseded', "finishedAt" = coalesce("finishedAt", clock_timestamp())`
    : sql``
  const { rows } = await sql`
    update amo_refresh_attempts set "parkedPair" = ${sealed} ${end}
    where ${attemptOf(answer)} and "parkedPair" is null and "committedFingerprint" is null
    returning id
  `.execute(trx)
  // An attempt that goes on has it from an earlier try; the kept answer is still there if it has not.
  if (rows.length > 0 || !isFinished || (await isParked(keyRing, trx, answer))) return
  await parkPair(trx, answer, answer.fingerprint, sealed)
}
