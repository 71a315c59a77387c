import { sql, type Transaction } from 'kysely'
import type { Claim } from '../claims/claim.ts'
import type { ClaimContext } from '../claims/claim-context.ts'
import type { Tables } from '../db/tables.ts'
import { keyText } from '../lib/account-key.ts'
import { REFUSALS, type RefusalCode, type RefusalKind } from '../provider/refusals.ts'
import {
  afterFailedCanary,
  afterFailure,
  afterSuccess,
  type Breaker,
  type Moment,
} from './breaker-rules.ts'

type Scope = 'platform' | 'integration'

/**
 * The breaker that a refusal counts for. A configuration error concerns only its own integration.
 * Refusals that are not listed show nothing about the provider.
 */
const SCOPES: Partial<Record<RefusalKind, Scope>> = {
  ambiguous: 'platform',
  not_spent: 'platform',
  unknown: 'platform',
  configuration: 'integration',
}

/** The part of `RefreshContext` that the breakers need. */
interface BreakerContext {
  claimContext: ClaimContext
  provider: { integrations: { find(name: string): { hasFailures: boolean } | undefined } }
}

/**
 * Counts a response without a pair. To be called before the claim is released, so that the slot it
 * frees finds the breaker open. Throws when the database fails. The claim then stays.
 */
export async function countRefusal(
  context: BreakerContext,
  claim: Claim,
  code: RefusalCode,
): Promise<void> {
  const { claimContext } = context
  const { kind } = REFUSALS[code]
  // The provider has read and understood the request, so it works.
  if (kind === 'permanent') return countSuccess(context, claim)
  const scope = SCOPES[kind]
  if (scope === undefined) return
  const account = keyText(claim)
  const isAmbiguous = kind === 'ambiguous'
  await change(claimContext, claim, [scope], (breaker, moment) =>
    afterFailure(breaker, { account, code, isAmbiguous, atMs: moment.nowMs }, moment),
  )
  if (claim.isCanary) await keepOpen(claimContext, claim, code)
}

/**
 * Keeps the breakers that the canary was sent through open for longer, because the canary failed.
 */
export async function keepOpen(
  claimContext: ClaimContext,
  claim: Claim,
  code: RefusalCode,
): Promise<void> {
  await change(claimContext, claim, ['platform', 'integration'], (breaker, moment) =>
    afterFailedCanary(breaker, code, moment),
  )
}

/**
 * Counts a response which shows that the provider works. Usually nothing changes. That is known
 * from memory and costs no query.
 */
export async function countSuccess(
  { claimContext, provider }: BreakerContext,
  claim: Claim,
): Promise<void> {
  const isNews = claim.isCanary || provider.integrations.find(claim.integration)?.hasFailures
  if (!isNews) return
  await change(claimContext, claim, ['platform', 'integration'], (breaker, moment) =>
    afterSuccess(breaker, claim.isCanary, moment),
  )
}

type Rule = (breaker: Breaker, moment: Moment) => Breaker

/**
 * Applies the rule to one row after the other, each locked meanwhile, so that replicas that count
 * at once all count.
 */
async function change(
  { claims, limits, clock }: ClaimContext,
  { integration }: Claim,
  scopes: Scope[],
  rule: Rule,
): Promise<void> {
  for (const scope of scopes) {
    await claims.transaction().execute(async (trx) => {
      const locked = await lockBreaker(trx, integration, scope)
      if (locked === undefined) return
      const { key, now, ...breaker } = locked
      const next = rule(breaker, {
        nowMs: now.getTime(),
        breakerMs: limits.breakerMs,
        random: clock.random(),
      })
      if (next === breaker) return
      await trx
        .updateTable('amo_breakers')
        .set({ ...next, failures: JSON.stringify(next.failures) })
        .where('key', '=', key)
        .execute()
    })
  }
}

async function lockBreaker(
  trx: Transaction<Tables>,
  integration: string,
  scope: Scope,
): Promise<(Breaker & { key: string; now: Date }) | undefined> {
  const row = await trx
    .selectFrom('amo_breaker_scopes')
    .select('key')
    .where('integration', '=', integration)
    .where('scope', '=', scope)
    .executeTakeFirst()
  if (row === undefined) return undefined
  await trx
    .insertInto('amo_breakers')
    .values({ key: row.key })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  return trx
    .selectFrom('amo_breakers')
    .selectAll()
    .select(sql<Date>`clock_timestamp()`.as('now'))
    .where('key', '=', row.key)
    .forUpdate()
    .executeTakeFirst()
}
