import { PROFILES } from '../provider/profile-table.ts'
import type { Account } from './directory.ts'
import { domainOf } from './directory.ts'

// The fields that the official PHP client reads without checking that they are present.
const CREATED_AT = 1_700_000_000

/** Builds the body of `GET /api/v4/account`. `wanted` contains the names in `?with=`. */
export function accountBody(account: Account, wanted: readonly string[]) {
  const { country, currency, currencySymbol, language } = PROFILES[account.platform].sandbox
  const isRussian = language === 'ru'
  return {
    id: account.accountId,
    name: account.name,
    subdomain: account.subdomain,
    created_at: CREATED_AT,
    created_by: 0,
    updated_at: CREATED_AT,
    updated_by: 0,
    current_user_id: account.userId,
    country,
    currency,
    currency_symbol: currencySymbol,
    customers_mode: 'disabled',
    is_unsorted_on: true,
    is_loss_reason_enabled: true,
    is_helpbot_enabled: false,
    is_technical_account: true,
    mobile_feature_version: 0,
    contact_name_display_order: 1,
    language,
    ...pick(wanted, {
      amojo_id: uuidOf(account, 1),
      uuid: uuidOf(account, 2),
      version: 12,
      drive_url: `https://drive-b.${account.zone}`,
      is_api_filter_enabled: false,
    }),
    _links: { self: link(account, '/account') },
    _embedded: pick(wanted, {
      amojo_rights: { can_direct: true, can_create_groups: true },
      users_groups: [{ id: 0, name: 'Sales', uuid: null }],
      task_types: [
        { id: 1, name: 'Follow-up', color: null, icon_id: null, code: 'FOLLOW_UP' },
        { id: 2, name: 'Meeting', color: null, icon_id: null, code: 'MEETING' },
      ],
      datetime_settings: {
        date_pattern: 'd.m.Y H:i',
        short_date_pattern: 'd.m.Y',
        short_time_pattern: 'H:i',
        date_formant: 'd.m.Y',
        date_format: 'd.m.Y',
        time_format: 'H:i:s',
        timezone: isRussian ? 'Europe/Moscow' : 'America/New_York',
        timezone_offset: isRussian ? '+03:00' : '-05:00',
      },
    }),
  }
}

const ENTITY_RIGHTS = { view: 'A', edit: 'A', add: 'A', delete: 'A', export: 'A' }

/**
 * Builds the body of `GET /api/v4/users`, or of one user with `id`. Returns undefined if there is
 * none.
 */
export function userBodies(account: Account, wanted: readonly string[]) {
  return account.users.map((user, index) => ({
    id: account.userId + index,
    name: user.login.split('@')[0],
    email: user.login,
    lang: PROFILES[account.platform].sandbox.language,
    ...pick(wanted, { uuid: uuidOf(account, 10 + index), amojo_id: uuidOf(account, 100 + index) }),
    rights: {
      leads: ENTITY_RIGHTS,
      contacts: ENTITY_RIGHTS,
      companies: ENTITY_RIGHTS,
      tasks: { edit: 'A', delete: 'A' },
      mail_access: true,
      catalog_access: true,
      files_access: true,
      status_rights: [],
      catalog_rights: null,
      custom_fields_rights: null,
      oper_day_reports_view_access: false,
      oper_day_user_tracking: false,
      is_admin: user.administrator,
      is_free: false,
      is_active: true,
      group_id: null,
      role_id: null,
    },
    _links: { self: link(account, `/users/${account.userId + index}`) },
    _embedded: {
      ...(wanted.includes('role') ? { roles: [] } : {}),
      ...(wanted.includes('group') ? { groups: [] } : {}),
    },
  }))
}

export function usersBody(account: Account, wanted: readonly string[]) {
  const users = userBodies(account, wanted)
  return {
    _total_items: users.length,
    _page: 1,
    _page_count: 1,
    _links: { self: link(account, '/users') },
    _embedded: { users },
  }
}

/**
 * Builds the body of `GET /api/v4/leads/pipelines/:id`. The account has one pipeline, whose id is
 * the account's id.
 */
export function pipelineBody(account: Account) {
  const status = (id: number, name: string, sort: number, type: number, color: string) => ({
    id,
    name,
    sort,
    is_editable: type === 0 && id > 143,
    pipeline_id: account.accountId,
    color,
    type,
    account_id: account.accountId,
    _links: { self: link(account, `/leads/pipelines/${account.accountId}/statuses/${id}`) },
  })
  const statuses = [
    status(1, 'Incoming leads', 10, 1, '#c1c1c1'),
    status(2_000, 'First contact', 20, 0, '#99ccff'),
    status(142, 'Won', 10_000, 0, '#CCFF66'),
    status(143, 'Lost', 11_000, 0, '#D5D8DB'),
  ]
  return {
    id: account.accountId,
    name: 'Pipeline',
    sort: 1,
    is_main: true,
    is_unsorted_on: true,
    is_archive: false,
    account_id: account.accountId,
    _links: { self: link(account, `/leads/pipelines/${account.accountId}`) },
    _embedded: { statuses },
  }
}

export function pipelinesBody(account: Account) {
  return {
    _total_items: 1,
    _links: { self: link(account, '/leads/pipelines') },
    _embedded: { pipelines: [pipelineBody(account)] },
  }
}

export function link(account: Account, path: string) {
  return { href: `https://${domainOf(account)}/api/v4${path}` }
}

function pick(wanted: readonly string[], all: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(all).filter(([name]) => wanted.includes(name)))
}

/** Returns a UUID that is the same on every run. */
function uuidOf(account: Account, salt: number): string {
  const digits = (account.accountId * 1_000 + salt).toString(16).padStart(12, '0')
  return `00000000-0000-4000-8000-${digits}`
}
