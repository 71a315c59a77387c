import { type RawBuilder, sql } from 'kysely'
import type { Grant } from '../db/tables/access.ts'
import type { AccountStatus } from '../db/tables/accounts.ts'
import type { AccountKey } from '../lib/account-key.ts'
import { type EndingCode, endingKeys } from './expiry-watch.ts'
import type { Search, SearchPlan } from './search.ts'

/** Orders of a list. Each ends with integration and account id. */
export const ACCOUNT_ORDERS = ['account', 'next_refresh', 'expiry'] as const
export type AccountOrder = (typeof ACCOUNT_ORDERS)[number]

const STATUSES: AccountStatus[] = ['active', 'disconnected', 'pending', 'reauth_required']
/** Greater than every account id. */
const NO_MORE = '9223372036854775807'

/** Position in a list: the last account of the page before, and where the order has it. */
export interface Position extends AccountKey {
  /** Time that the list is ordered by, in microseconds since 1970; null: infinity, or none. */
  sortMicros: string | null
}

export interface AccountFilter {
  status?: AccountStatus | undefined
  integration?: string | undefined
  /** A failure code, or `any`. */
  error?: string | undefined
  /** A code of `endingOf`, or `any`. */
  warning?: EndingCode | 'any' | undefined
  isShadow?: boolean | undefined
  isPaused?: boolean | undefined
  order?: AccountOrder | undefined
  after?: Position | undefined
  /** Only these accounts; undefined: all. */
  grants?: readonly Grant[] | undefined
}

/** The time that a list is ordered by; undefined: by the account only. */
export function sortColumn(order: AccountOrder = 'account'): RawBuilder<Date> | undefined {
  if (order === 'account') return undefined
  return order === 'expiry'
    ? sql<Date>`t."expiresAt"`
    : sql<Date>`coalesce(t."nextAttemptAt", 'infinity')`
}

/**
 * Selects keys for a list, with `sort`. Without a set, ranges of an index are merged: one for each
 * integration and status (or failure), so that every page costs the same. `search`, found by its
 * `plan`, narrows the list.
 */
export function listKeys(
  filter: AccountFilter,
  limit: number,
  search?: Search,
  plan?: SearchPlan,
): RawBuilder<unknown> {
  const { warning } = filter
  const fits = search === undefined ? [] : [search.fits]
  if (warning !== undefined) return keysOfSet(filter, limit, endingKeys(warning), fits)
  if (search !== undefined && plan === 'collected') {
    return keysOfSet(filter, limit, search.keys, [])
  }
  if (search !== undefined && plan === 'by_id') {
    return sql`(${rangesOrGranted(filter, limit, fits, search.idRanges)})
      union (${keysOfSet(filter, limit, search.keysByName, [])})`
  }
  return rangesOrGranted(filter, limit, fits)
}

/** Selects from the ranges that the caller may read. `idRanges`: instead of what fits by its id. */
function rangesOrGranted(
  filter: AccountFilter,
  limit: number,
  fits: RawBuilder<boolean>[],
  idRanges?: RawBuilder<unknown>,
): RawBuilder<unknown> {
  const { grants } = filter
  if (grants === undefined) return keysOfRanges(filter, limit, fits, undefined, idRanges)
  const whole = grants
    .filter(({ accountId }) => accountId === null)
    .map(({ integration }) => integration)
  return sql`(${keysOfRanges(filter, limit, fits, whole, idRanges)})
    union (${keysOfSet(filter, limit, singleKeys(grants), fits)})`
}

function keysOfRanges(
  filter: AccountFilter,
  limit: number,
  fits: RawBuilder<boolean>[],
  integrations: string[] | undefined,
  idRanges: RawBuilder<unknown> | undefined,
): RawBuilder<unknown> {
  const { status, integration, error, order = 'account', after } = filter
  const sort = sortColumn(order)
  const groups = [
    ...(integration === undefined ? [] : [sql`i.name = ${integration}`]),
    ...(integrations === undefined ? [] : [sql`i.name = any(${integrations}::text[])`]),
  ]
  const isByStatus = error === undefined && (sort !== undefined || status !== undefined)
  const dimension = isByStatus
    ? sql`cross join unnest(${status === undefined ? STATUSES : [status]}::text[]) d(value)`
    : error === undefined
      ? sql``
      : sql`cross join lateral (${failuresOf(error)}) d(value)`
  const conditions = [
    sql`t.integration = i.name`,
    ...(isByStatus ? [sql`t.status = d.value`] : []),
    ...(error === undefined ? [] : [sql`t."lastErrorCode" = d.value`]),
    ...(error !== undefined && status !== undefined ? [sql`t.status = ${status}`] : []),
    ...(after === undefined ? [] : [isAfter(after, sort)]),
    ...flagsOf(filter),
    ...(idRanges === undefined ? fits : [sql`t."accountId" >= r.low and t."accountId" < r.high`]),
  ]
  const ranges = idRanges === undefined ? sql`` : sql`cross join (${idRanges}) r`
  return sql`
    select k.* from amo_integrations i ${dimension} ${ranges}
    cross join lateral (
      select t.integration, t."accountId", ${sort ?? sql`null::timestamptz`} as sort
      from amo_tokens t where ${and(conditions)}
      order by ${sort === undefined ? sql`` : sql`${sort}, `} t."accountId" limit ${limit}
    ) k
    where ${and(groups)}
    order by k.sort, k.integration, k."accountId" limit ${limit}
  `
}

/** The position within the range of integration `i`, as one comparison that an index can use. */
function isAfter(after: Position, sort: RawBuilder<Date> | undefined): RawBuilder<boolean> {
  const { integration, accountId } = after
  const bound = sql`case when i.name > ${integration} then 0 when i.name = ${integration}
    then ${accountId}::bigint else ${sql.lit(NO_MORE)}::bigint end`
  if (sort === undefined) return sql`t."accountId" > ${bound}`
  return sql`(${sort}, t."accountId") > (${timeOf(after)}, ${bound})`
}

function timeOf({ sortMicros }: Position): RawBuilder<Date> {
  if (sortMicros === null) return sql`'infinity'::timestamptz`
  return sql`'epoch'::timestamptz + ${sortMicros}::bigint * interval '1 microsecond'`
}

/** Selects the failures that accounts of integration `i` have, by jumps in the index. */
function failuresOf(error: string): RawBuilder<unknown> {
  if (error !== 'any') return sql`select ${error}::text`
  const least = sql`select min(t."lastErrorCode") from amo_tokens t where t.integration = i.name`
  return sql`
    with recursive failure(code) as (
      (${least})
      union all
      select (${least} and t."lastErrorCode" > failure.code) from failure where code is not null
    ) select code from failure where code is not null`
}

/** Joins a set of keys with the accounts, and sorts them. */
function keysOfSet(
  filter: AccountFilter,
  limit: number,
  set: RawBuilder<unknown>,
  fits: RawBuilder<boolean>[],
): RawBuilder<unknown> {
  const { status, integration, error, after, grants } = filter
  const sort = sortColumn(filter.order)
  const key = sql`t.integration, t."accountId"`
  const failure =
    error === 'any' ? sql`t."lastErrorCode" is not null` : sql`t."lastErrorCode" = ${error}`
  const conditions = [
    ...(status === undefined ? [] : [sql`t.status = ${status}`]),
    ...(integration === undefined ? [] : [sql`t.integration = ${integration}`]),
    ...(error === undefined ? [] : [failure]),
    ...(grants === undefined ? [] : [isGranted(grants)]),
    ...(after === undefined ? [] : [isAfterInSet(after, sort)]),
    ...flagsOf(filter),
    ...fits,
  ]
  return sql`
    select ${key}, ${sort ?? sql`null::timestamptz`} as sort
    from (${set}) s join amo_tokens t using (integration, "accountId")
    where ${and(conditions)}
    order by ${sort === undefined ? sql`` : sql`${sort}, `} ${key} limit ${limit}
  `
}

function isAfterInSet(after: Position, sort: RawBuilder<Date> | undefined): RawBuilder<boolean> {
  const { integration, accountId } = after
  if (sort === undefined) {
    return sql`(t.integration, t."accountId") > (${integration}, ${accountId}::bigint)`
  }
  return sql`(${sort}, t.integration, t."accountId")
    > (${timeOf(after)}, ${integration}, ${accountId}::bigint)`
}

function isGranted(grants: readonly Grant[]): RawBuilder<boolean> {
  const whole = grants.filter(({ accountId }) => accountId === null)
  return sql`(t.integration = any(${whole.map(({ integration }) => integration)}::text[])
    or (t.integration, t."accountId") in (${singleKeys(grants)}))`
}

/** Selects the accounts that are granted one by one. */
function singleKeys(grants: readonly Grant[]): RawBuilder<unknown> {
  const single = grants.filter(({ accountId }) => accountId !== null)
  return sql`select integration, "accountId" from unnest(
    ${single.map(({ integration }) => integration)}::text[],
    ${single.map(({ accountId }) => accountId)}::bigint[]) g(integration, "accountId")`
}

function flagsOf({ isShadow, isPaused }: AccountFilter): RawBuilder<boolean>[] {
  return [
    ...(isShadow === undefined
      ? []
      : [isShadow ? sql<boolean>`t.shadow` : sql<boolean>`not t.shadow`]),
    ...(isPaused === undefined
      ? []
      : [isPaused ? sql<boolean>`t.paused` : sql<boolean>`not t.paused`]),
  ]
}

function and(conditions: RawBuilder<unknown>[]): RawBuilder<boolean> {
  return conditions.length === 0
    ? sql<boolean>`true`
    : sql<boolean>`${sql.join(conditions, sql` and `)}`
}
