import { type Kysely, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { AccountKey } from '../lib/account-key.ts'

const PAGE = 1_000

/** An account that would need a new consent after the restore. */
export interface Loss extends AccountKey {
  domain: string | null
  why: 'missing' | 'older pair'
}

/** Copies the row of the deployment to a scratch database, unless it has one. */
export async function copyDeployment(real: Kysely<Tables>, scratch: Kysely<Tables>): Promise<void> {
  const { deploymentId, rootSecret } = await real
    .selectFrom('amo_deployment')
    .select(['deploymentId', 'rootSecret'])
    .executeTakeFirstOrThrow()
  await scratch
    .insertInto('amo_deployment')
    .values({ deploymentId, rootSecret })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

type PairRow = AccountKey & { domain: string | null; generation: number }

/**
 * Compares the pairs of a restored database with those of the real one. An account whose restored
 * pair is older would be lost, because the refresh token of that pair is spent.
 */
export async function compareAccounts(
  real: Kysely<Tables>,
  restored: Kysely<Tables>,
): Promise<{ live: number; losses: Loss[] }> {
  const losses: Loss[] = []
  let live = 0
  let after: AccountKey = { integration: '', accountId: 0 }
  for (;;) {
    const page = await findPage(real, after)
    const found = await findGenerations(restored, page)
    for (const { integration, accountId, domain, generation } of page) {
      live += 1
      const there = found.get(`${integration}/${accountId}`)
      if (there === generation) continue
      const why = there === undefined ? 'missing' : 'older pair'
      losses.push({ integration, accountId, domain, why })
    }
    const last = page.at(-1)
    if (last === undefined || page.length < PAGE) return { live, losses }
    after = last
  }
}

/**
 * Counts the accounts whose token was sent and whose response is not committed. It is on the disk
 * of a replica and in Redis at most.
 */
export async function countInFlight(real: Kysely<Tables>): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from amo_refresh_attempts
    where "finishedAt" is null and "sentAt" is not null
  `.execute(real)
  return rows[0]?.count ?? 0
}

/** Accounts whose pair lives now. */
async function findPage(db: Kysely<Tables>, after: AccountKey): Promise<PairRow[]> {
  const { rows } = await sql<PairRow>`
    select integration, "accountId", domain, generation from amo_tokens
    where kind = 'oauth' and status in ('active', 'pending')
      and (integration, "accountId") > (${after.integration}, ${after.accountId}::bigint)
    order by integration, "accountId" limit ${PAGE}
  `.execute(db)
  return rows
}

async function findGenerations(
  db: Kysely<Tables>,
  page: readonly PairRow[],
): Promise<Map<string, number>> {
  const { rows } = await sql<PairRow>`
    select t.integration, t."accountId", t.generation from amo_tokens t
    join jsonb_to_recordset(${JSON.stringify(page)}::jsonb) as p(integration text, "accountId" bigint)
      on p.integration = t.integration and p."accountId" = t."accountId"
  `.execute(db)
  return new Map(
    rows.map(({ integration, accountId, generation }) => [
      `${integration}/${accountId}`,
      generation,
    ]),
  )
}
