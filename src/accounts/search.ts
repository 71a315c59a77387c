import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { prefixQuery } from './label-words.ts'

/** Up to this number of fits, all are collected and sorted. Beyond, the list is walked in order. */
const MAX_COLLECTED = 5_000

/**
 * What somebody searches for: the beginning of an id, of a domain or of the words of a label. Uses
 * what every PostgreSQL and PGlite have.
 */
export interface Search {
  /** Condition on the row `t` of `amo_tokens`. */
  fits: RawBuilder<boolean>
  /** Selects the keys of the accounts that fit, each way with its own index. */
  keys: RawBuilder<unknown>
}

/** Parses the text of a search: an address of the account in the browser is a domain. */
export function parseSearch(text: string): Search {
  const wanted = text.trim().toLowerCase()
  const host = /^https?:\/\/([^/?#]+)/.exec(wanted)?.[1] ?? wanted
  const like = `${host.replaceAll(/[\\%_]/g, '\\$&')}%`
  const words = prefixQuery(wanted)
  const byLabel = sql`words @@ ${words}::tsquery`
  const ways = [
    /^\d+$/.test(host) ? sql<boolean>`t."accountId"::text like ${like}` : undefined,
    sql<boolean>`t.domain like ${like}`,
  ].filter((way) => way !== undefined)
  const inLabels = sql<boolean>`exists (select from amo_account_labels l
    where l.integration = t.integration and l."accountId" = t."accountId" and ${byLabel})`
  const limit = sql`limit ${MAX_COLLECTED + 1}`
  const parts = [
    ...ways.map(
      (way) => sql`(select integration, "accountId" from amo_tokens t where ${way} ${limit})`,
    ),
    ...(words === ''
      ? []
      : [sql`(select integration, "accountId" from amo_account_labels where ${byLabel} ${limit})`]),
  ]
  return {
    fits: sql<boolean>`(${sql.join(words === '' ? ways : [...ways, inLabels], sql` or `)})`,
    keys: sql.join(parts, sql` union `),
  }
}

/** Returns whether so few accounts fit that they can be collected and sorted. */
export async function isNarrow(db: Kysely<Tables>, { keys }: Search): Promise<boolean> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from (select from (${keys}) k limit ${MAX_COLLECTED + 1}) k
  `.execute(db)
  return (rows[0]?.count ?? 0) <= MAX_COLLECTED
}
