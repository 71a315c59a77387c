import type { Account } from './directory.ts'
import { domainOf } from './directory.ts'

const LEADS_PER_PAGE = 50
const MOST_LEADS_PER_PAGE = 250

export function accountBody(account: Account) {
  return {
    id: account.accountId,
    name: account.name,
    subdomain: account.subdomain,
    current_user_id: account.userId,
    country: account.platform === 'amocrm' ? 'RU' : 'US',
    currency: account.platform === 'amocrm' ? 'RUB' : 'USD',
    currency_symbol: account.platform === 'amocrm' ? '₽' : '$',
    is_unsorted_on: true,
    language: account.platform === 'amocrm' ? 'ru' : 'en',
    _links: { self: { href: `https://${domainOf(account)}/api/v4/account` } },
  }
}

export function usersBody(account: Account) {
  const users = account.users.map((user, index) => ({
    id: account.userId + index,
    name: user.login.split('@')[0],
    email: user.login,
    rights: { is_admin: user.administrator, is_active: true },
  }))
  return { _total_items: users.length, _page: 1, _embedded: { users } }
}

export function pipelinesBody(account: Account) {
  const statuses = [
    { id: 1, name: 'Incoming leads', sort: 10, is_editable: false },
    { id: 142, name: 'Won', sort: 10_000, is_editable: false },
    { id: 143, name: 'Lost', sort: 11_000, is_editable: false },
  ]
  const pipelines = [
    { id: account.accountId, name: 'Pipeline', sort: 1, is_main: true, _embedded: { statuses } },
  ]
  return { _total_items: pipelines.length, _embedded: { pipelines } }
}

/** One page of leads, without a total; null when it is empty: 204 (provider.md 12). */
export function leadsBody(account: Account, query: { page?: string; limit?: string }) {
  const page = positive(query.page, 1)
  const limit = Math.min(positive(query.limit, LEADS_PER_PAGE), MOST_LEADS_PER_PAGE)
  const first = (page - 1) * limit
  const length = Math.min(limit, account.leads - first)
  if (length <= 0) return null
  const leads = Array.from({ length }, (_, index) => ({
    id: first + index + 1,
    name: `Lead ${first + index + 1}`,
    price: 1_000,
    pipeline_id: account.accountId,
    status_id: 142,
    account_id: account.accountId,
  }))
  const link = (to: number) => ({
    href: `https://${domainOf(account)}/api/v4/leads?page=${to}&limit=${limit}`,
  })
  const next = first + length < account.leads ? { next: link(page + 1) } : {}
  return { _page: page, _links: { self: link(page), ...next }, _embedded: { leads } }
}

function positive(value: string | undefined, fallback: number): number {
  const number = Number(value)
  return Number.isInteger(number) && number > 0 ? number : fallback
}
