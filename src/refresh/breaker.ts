import { sql, type Transaction } from 'kysely'
import { keyText } from '../accounts/account-key.ts'
import type { Tables } from '../db/tables.ts'
import { REFUSALS, type RefusalCode, type RefusalKind } from '../provider/refusals.ts'
import {
  afterFailedCanary,
  afterFailure,
  afterSuccess,
  type Breaker,
  type Moment,
} from './breaker-rules.ts'
import type { Claim, Claimant } from './claim.ts'

type Scope = 'platform' | 'integration'

/** Which breaker a refusal counts for: one of our own making concerns its integration alone. The others say nothing of the provider. */
const SCOPES: Partial<Record<RefusalKind, Scope>> = {
  ambiguous: 'platform',
  not_spent: 'platform',
  unknown: 'platform',
  configuration: 'integration',
}

/** What counting needs of the engine. */
export interface Breaking {
  claimant: Claimant
  integrations: { find(name: string): { hasFailures: boolean } | undefined }
}

/**
 * Counts an answer without a pair, before its claim is let go: a slot that it frees finds the breaker open already.
 * Throws when the database does not take it; the claim stays then.
 */
export async function countRefusal(
  breaking: Breaking,
  claim: Claim,
  code: RefusalCode,
): Promise<void> {
  const { claimant } = breaking
  const { kind } = REFUSALS[code]
  // It was read and understood: the provider works.
  if (kind === 'permanent') return countSuccess(breaking, claim)
  const scope = SCOPES[kind]
  if (scope === undefined) return
  const account = keyText(claim)
  const isAmbiguous = kind === 'ambiguous'
  await change(claimant, claim, [scope], (breaker, moment) =>
    afterFailure(breaker, { account, code, isAmbiguous, atMs: moment.nowMs }, moment),
  )
  if (claim.isCanary) await keepOpen(claimant, claim, code)
}

/** The canary found nothing out, or nothing good: whatever it was sent through stays open for longer. */
export async function keepOpen(claimant: Claimant, claim: Claim, code: RefusalCode): Promise<void> {
  await change(claimant, claim, ['platform', 'integration'], (breaker, moment) =>
    afterFailedCanary(breaker, code, moment),
  )
}

/**
 * Counts an answer that shows that the provider works. Nearly always there is nothing to change: whether there is, is known in
 * memory and costs the database nothing.
 */
export async function countSuccess(
  { claimant, integrations }: Breaking,
  claim: Claim,
): Promise<void> {
  const isNews = claim.isCanary || integrations.find(claim.integration)?.hasFailures
  if (!isNews) return
  await change(claimant, claim, ['platform', 'integration'], (breaker, moment) =>
    afterSuccess(breaker, claim.isCanary, moment),
  )
}

type Rule = (breaker: Breaker, moment: Moment) => Breaker

/** One row after the other, each locked while the rule is applied: of replicas that count at once none is forgotten. */
async function change(
  { claims, breakerMs }: Claimant,
  { integration }: Claim,
  scopes: Scope[],
  rule: Rule,
): Promise<void> {
  for (const scope of scopes) {
    await claims.transaction().execute(async (trx) => {
      const locked = await lockBreaker(trx, integration, scope)
      if (locked === undefined) return
      const { key, now, ...breaker } = locked
      const next = rule(breaker, { nowMs: now.getTime(), breakerMs })
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
