import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { prefixQuery } from './label-words.ts'

const MAX_COLLECTED = 5_000
/** Account ids have fewer digits: they are safe integers. */
const MAX_DIGITS = 16

/**
 * What somebody searches for: the beginning of an id, of a domain or of the words of a label. Uses
 * what every PostgreSQL and PGlite have.
 */
export interface Search {
  maxCollected: number
  /** Condition on the row `t` of `amo_tokens`. */
  fits: RawBuilder<boolean>
  /** Selects the keys of the accounts that fit, each way with its own index. */
  keys: RawBuilder<unknown>
  /** The same without those that fit by their id. */
  keysByName: RawBuilder<unknown>
  /** Selects the ranges of ids that begin with these digits; undefined: not digits. */
  idRanges: RawBuilder<unknown> | undefined
}

/**
 * How the accounts that fit are found in the order of a list. `collected`: all of them are sorted.
 * `by_id`: from the ranges of ids, and the others are sorted. `walked`: the list is read until
 * enough fit.
 */
export type SearchPlan = 'collected' | 'by_id' | 'walked'

/**
 * Parses the text of a search: an address of the account in the browser is a domain. Up to
 * `maxCollected` fits are collected and sorted.
 */
export function parseSearch(text: string, maxCollected = MAX_COLLECTED): Search {
  const wanted = text.trim().toLowerCase()
  const host = /^https?:\/\/([^/?#]+)/.exec(wanted)?.[1] ?? wanted
  const like = `${host.replaceAll(/[\\%_]/g, '\\$&')}%`
  const words = prefixQuery(wanted)
  const byLabel = sql`words @@ ${words}::tsquery`
  const idText = sql`t."accountId"::text`
  const isId = /^\d+$/.test(host)
  const begins = (text: RawBuilder<unknown>) => sql<boolean>`${text} like ${like}`
  const inLabels = sql<boolean>`exists (select from amo_account_labels l
    where l.integration = t.integration and l."accountId" = t."accountId" and ${byLabel})`
  const limit = sql`limit ${maxCollected + 1}`
  // By the order of its index. Without one, PostgreSQL reads the table if it expects many fits.
  const keysOf = (text: RawBuilder<unknown>) =>
    sql`(select integration, "accountId" from amo_tokens t where ${begins(text)}
      order by ${text} using ~<~ ${limit})`
  const keysOfLabels = sql`(select integration, "accountId" from amo_account_labels
    where ${byLabel} ${limit})`
  const keysByName = [keysOf(sql`t.domain`), ...(words === '' ? [] : [keysOfLabels])]
  const ways = [
    ...(isId ? [begins(idText)] : []),
    begins(sql`t.domain`),
    ...(words === '' ? [] : [inLabels]),
  ]
  return {
    maxCollected,
    fits: sql<boolean>`(${sql.join(ways, sql` or `)})`,
    keys: sql.join([...(isId ? [keysOf(idText)] : []), ...keysByName], sql` union `),
    keysByName: sql.join(keysByName, sql` union `),
    idRanges: isId ? idRangesOf(host) : undefined,
  }
}

function idRangesOf(digits: string): RawBuilder<unknown> {
  const first = sql`${digits}::numeric`
  return sql`select (${first} * 10::numeric ^ more)::bigint as low,
      ((${first} + 1) * 10::numeric ^ more)::bigint as high
    from generate_series(0, ${MAX_DIGITS - digits.length}::int) more`
}

/** Chooses the plan of a search by how many accounts fit. `isById`: the list is ordered by id. */
export async function planSearch(
  db: Kysely<Tables>,
  { keys, keysByName, idRanges, maxCollected }: Search,
  { isById }: { isById: boolean },
): Promise<SearchPlan> {
  const areFew = async (some: RawBuilder<unknown>) => {
    const { rows } = await sql<{ count: number }>`
      select count(*)::int as count from (select from (${some}) k limit ${maxCollected + 1}) k
    `.execute(db)
    return (rows[0]?.count ?? 0) <= maxCollected
  }
  if (isById && idRanges !== undefined && (await areFew(keysByName))) return 'by_id'
  return (await areFew(keys)) ? 'collected' : 'walked'
}
