import { type Kysely, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { type AccountFilter, listKeys, type Position, sortColumn } from './list-keys.ts'
import { parseSearch, planSearch } from './search.ts'
import { type AccountState, accountColumns, withLabel } from './store.ts'

export interface AccountPage {
  accounts: AccountState[]
  /** Where the next page begins; undefined: this is the last one. */
  next: Position | undefined
}

/**
 * Returns one page of the accounts that match `filter` and `q`, in the order of the filter. A page
 * is read from indexes and costs the same however many accounts there are. A search that more than
 * some thousand accounts fit by their name is answered by walking the list, which takes longer the
 * rarer the fits. `maxCollected`: as for `parseSearch`.
 */
export async function findAccounts(
  db: Kysely<Tables>,
  filter: AccountFilter & { q?: string | undefined },
  limit: number,
  maxCollected?: number,
): Promise<AccountPage> {
  const search = filter.q === undefined ? undefined : parseSearch(filter.q, maxCollected)
  const sort = sortColumn(filter.order)
  const plan = search && (await planSearch(db, search, { isById: sort === undefined }))
  const micros =
    sort === undefined
      ? sql<string | null>`null::text`
      : sql<string | null>`case when isfinite(k.sort)
          then (extract(epoch from k.sort) * 1000000)::bigint::text end`
  const { rows } = await sql<AccountState & { sortMicros: string | null }>`
    select ${accountColumns}, ${withLabel}, ${micros} as "sortMicros"
    from (select * from (${listKeys(filter, limit + 1, search, plan)}) every
      order by sort, integration, "accountId" limit ${limit + 1}) k
    join amo_tokens t using (integration, "accountId")
    order by k.sort, k.integration, k."accountId"
  `.execute(db)
  const accounts = rows.slice(0, limit).map(({ sortMicros: _, ...account }) => account)
  const last = rows.length > limit ? rows[limit - 1] : undefined
  return {
    accounts,
    next: last && {
      integration: last.integration,
      accountId: last.accountId,
      sortMicros: last.sortMicros,
    },
  }
}
