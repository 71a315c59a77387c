import { type Kysely, sql } from 'kysely'
import type { Grant } from '../db/tables/access.ts'
import type { Tables } from '../db/tables.ts'

/** When clients last read tokens, as far back as the audit goes (AUDIT_DAYS). */
export interface LastReads {
  /** Returns when the client last read a token of this integration. */
  of(client: string, integration: string): Date | undefined
  /** Returns when the client last read a token of any integration. */
  ofClient(client: string): Date | undefined
}

/**
 * Finds when each client last read a token of each integration. Costs one look-up for each pair.
 */
export async function findLastReads(
  db: Kysely<Tables>,
  clients: readonly string[],
): Promise<LastReads> {
  const { rows } = await sql<{ client: string; integration: string; at: Date }>`
    select c.client, i.name as integration, last.at
    from unnest(${clients}::text[]) as c(client)
    cross join amo_integrations i
    cross join lateral (
      select at from amo_audit where actor = c.client and integration = i.name and action = 'readToken'
      order by at desc limit 1
    ) last
  `.execute(db)
  const of = (client: string, integration: string) =>
    rows.find((row) => row.client === client && row.integration === integration)?.at
  const ofClient = (client: string) =>
    rows
      .filter((row) => row.client === client)
      .map(({ at }) => at)
      .toSorted((a, b) => b.getTime() - a.getTime())[0]
  return { of, ofClient }
}

/** Finds when a client last read the token of each account that it has a grant for. */
export async function findLastReadsOfGrants(
  db: Kysely<Tables>,
  client: string,
  grants: readonly Grant[],
): Promise<Map<string, Date>> {
  const single = grants.filter(({ accountId }) => accountId !== null)
  const { rows } = await sql<{ integration: string; accountId: number; at: Date }>`
    select g.integration, g."accountId", last.at
    from unnest(${single.map(({ integration }) => integration)}::text[],
      ${single.map(({ accountId }) => accountId)}::bigint[]) as g(integration, "accountId")
    cross join lateral (
      select at from amo_audit where actor = ${client} and integration = g.integration
        and "accountId" = g."accountId" and action = 'readToken'
      order by at desc limit 1
    ) last
  `.execute(db)
  return new Map(rows.map(({ integration, accountId, at }) => [`${integration}/${accountId}`, at]))
}
