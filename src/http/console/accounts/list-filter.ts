import type { AccountFilter } from '../../../accounts/list-keys.ts'
import type { AccountStatus } from '../../../db/tables/accounts.ts'
import { Type } from '../../../lib/type.ts'
import { cursorOf, positionOf } from '../../accounts/cursor.ts'
import { ACCOUNTS_PATH } from './paths.ts'

/** Lenient, because the form sends empty fields. What is not understood is left out. */
export const ListQuery = Type.Object({
  q: Type.Optional(Type.String({ maxLength: 200 })),
  status: Type.Optional(Type.String({ maxLength: 40 })),
  integration: Type.Optional(Type.String({ maxLength: 63 })),
  error: Type.Optional(Type.String({ maxLength: 40 })),
  warning: Type.Optional(Type.String({ maxLength: 40 })),
  flag: Type.Optional(Type.String({ maxLength: 10 })),
  order: Type.Optional(Type.String({ maxLength: 20 })),
  after: Type.Optional(Type.String({ maxLength: 120 })),
})

export type RawQuery = Partial<Record<keyof typeof ListQuery.properties, string>>
export type ListFilter = AccountFilter & { q?: string | undefined }

export const STATUSES: readonly (readonly [AccountStatus, string])[] = [
  ['active', 'Active'],
  ['reauth_required', 'Needs a new consent'],
  ['pending', 'Awaits approval'],
  ['disconnected', 'Disconnected'],
]
export const ORDERS = [
  ['account', 'Id'],
  ['next_refresh', 'Next refresh'],
  ['expiry', 'Expiry'],
] as const

const CURSOR = /^[a-z0-9][a-z0-9-]{0,62}\/[0-9]{1,15}(?:\/(?:[0-9]{1,16}|never))?$/

/** Reads the filter of the list from its address. */
export function filterFrom(query: RawQuery): ListFilter {
  const order = ORDERS.map(([value]) => value).find((value) => value === query.order)
  const text = query.q?.replaceAll(/\p{Cc}/gu, ' ').trim()
  const isCursor =
    CURSOR.test(query.after ?? '') &&
    (query.after?.split('/').length === 3) === (order !== undefined && order !== 'account')
  return {
    q: text || undefined,
    status: STATUSES.map(([value]) => value).find((value) => value === query.status),
    integration: query.integration || undefined,
    error: /^[a-z0-9_]{1,40}$/.test(query.error ?? '') ? query.error : undefined,
    warning: query.warning ? 'any' : undefined,
    isPaused: query.flag === 'paused' ? true : undefined,
    isShadow: query.flag === 'shadow' ? true : undefined,
    order,
    after: isCursor ? positionOf(query.after ?? '', order) : undefined,
  }
}

/** Returns the address of the list with this filter; `changes` replace parts of it. */
export function listPath(filter: ListFilter, changes: ListFilter = {}): string {
  const { after, ...rest } = { ...filter, after: undefined, ...changes }
  const { q, status, integration, error, warning, order } = rest
  const flag = rest.isPaused ? 'paused' : rest.isShadow ? 'shadow' : undefined
  const values = {
    ...{ q, status, integration, error, warning, flag, order },
    after: after && cursorOf(after, order),
  }
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined) search.set(name, value)
  }
  return search.size === 0 ? ACCOUNTS_PATH : `${ACCOUNTS_PATH}?${search}`
}
