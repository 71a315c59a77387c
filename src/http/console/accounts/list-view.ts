import { endingOf } from '../../../accounts/expiry-watch.ts'
import type { AccountPage } from '../../../accounts/list.ts'
import type { AccountState } from '../../../accounts/store.ts'
import type { Row } from '../../../db/tables.ts'
import { keyText } from '../../../lib/account-key.ts'
import { type Content, type Html, html, trustedHtml } from '../../../lib/html.ts'
import { explainFailure } from '../../../provider/failures.ts'
import { live } from '../live.ts'
import { emptyState, formatNumber, stackTable } from '../parts.ts'
import { accountPath } from '../paths.ts'
import { timeTag } from '../times.ts'
import { type ListFilter, listPath, ORDERS, STATUSES } from './list-filter.ts'
import { ACCOUNTS_PATH, CLEAN_PATH } from './paths.ts'
import { nameOf, stateBadges } from './state.ts'

export interface ListView {
  filter: ListFilter
  page: AccountPage
  counts: Row<'amo_account_counts'>[]
  integrations: string[]
  /** Monitors see no actions. */
  isOperator: boolean
}

/** Returns the heading of the list: how many accounts are in which state. */
export function listTitle({ filter, counts }: ListView): string {
  const { status, integration, q, error, warning, isPaused, isShadow } = filter
  if (q !== undefined) return `Accounts that match “${q}”`
  if (error ?? warning ?? isPaused ?? isShadow) return 'Accounts that match the filter'
  const count = counts
    .filter((each) => status === undefined || each.status === status)
    .filter((each) => integration === undefined || each.integration === integration)
    .reduce((sum, { accounts }) => sum + accounts, 0)
  const [, state] = STATUSES.find(([value]) => value === status) ?? []
  const accounts = count === 1 ? '1 account' : `${formatNumber(count)} accounts`
  if (status === 'reauth_required')
    return `${accounts} ${count === 1 ? 'needs' : 'need'} a new consent`
  if (status === 'pending') return `${accounts} ${count === 1 ? 'waits' : 'wait'} for approval`
  return state === undefined ? accounts : `${accounts}: ${state.toLowerCase()}`
}

/** Shows a page of the list, with search, filters and actions on several accounts. */
export function listMain(view: ListView): Html {
  return html`${stateLinks(view)}${filterForm(view)}${accountsTable(view)}`
}

/** The counts change by themselves, so this part is polled. */
function stateLinks({ filter, counts }: ListView): Html {
  const shown = counts.filter(
    ({ integration }) => filter.integration === undefined || integration === filter.integration,
  )
  const countOf = (status: string | undefined) =>
    shown
      .filter((each) => status === undefined || each.status === status)
      .reduce((sum, { accounts }) => sum + accounts, 0)
  const links = [[undefined, 'All'] as const, ...STATUSES].map(([status, text]) => {
    const label = html`${text} <span class="muted">${formatNumber(countOf(status))}</span>`
    const isCurrent = filter.status === status
    return isCurrent
      ? html`<b>${label}</b>`
      : html`<a href="${listPath(filter, { status })}">${label}</a>`
  })
  return live('states', html`<nav class="acts" aria-label="States">${links}</nav>`)
}

type Options = readonly (readonly [value: string, text: string])[]

function filterForm({ filter, integrations, isOperator }: ListView): Html {
  const { q, status, integration, error, warning, order, isPaused, isShadow } = filter
  const named: Options = error === undefined || error === 'any' ? [] : [[error, error]]
  const flag = isPaused ? 'paused' : isShadow ? 'shadow' : undefined
  const own: Options = integrations.map((name) => [name, name])
  return html`<search><form class="filter" method="get" action="${ACCOUNTS_PATH}">
${status !== undefined && html`<input type="hidden" name="status" value="${status}">`}
<div class="field wide"><label for="filter-q">Search</label><input id="filter-q" name="q" type="search" value="${q}"
placeholder="id, domain or label" autocomplete="off"></div>
${choose('integration', 'Integration', integration, [['', 'All'], ...own])}
${choose('error', 'Error', error, [['', 'All'], ['any', 'With an error'], ...named])}
${choose('warning', 'Warning', warning, [
  ['', 'All'],
  ['any', 'With a warning'],
])}
${choose('flag', 'Handling', flag, [
  ['', 'All'],
  ['paused', 'Paused'],
  ['shadow', 'Shadow'],
])}
${choose('order', 'Sort by', order, ORDERS)}
<div class="acts"><button>Show</button></div></form></search>
${isOperator && html`<p><a href="${CLEAN_PATH}">Clean up accounts without use</a></p>`}`
}

function choose(name: string, label: string, chosen: string | undefined, options: Options): Html {
  const id = `filter-${name}`
  const entries = options.map(([value, text]) => {
    const mark = value === chosen && trustedHtml(' selected')
    return html`<option value="${value}"${mark}>${text}</option>`
  })
  return html`<div class="field"><label for="${id}">${label}</label>
<select id="${id}" name="${name}">${entries}</select></div>`
}

function accountsTable({ filter, page, isOperator }: ListView): Html {
  const { accounts, next } = page
  if (accounts.length === 0) {
    const isFiltered = listPath(filter) !== ACCOUNTS_PATH
    return isFiltered
      ? emptyState(
          'No account matches.',
          html`<p><a href="${ACCOUNTS_PATH}">Show all accounts</a></p>`,
        )
      : emptyState(
          'No account is connected yet.',
          html`<p><a href="/console/onboarding">Connect one</a></p>`,
        )
  }
  const table = stackTable(
    'Accounts',
    ['Account', 'State', 'Last error', 'Next refresh', 'Valid until', ...(isOperator ? [''] : [])],
    accounts.map((account) => row(account, filter, isOperator)),
  )
  const more = next && html`<p><a href="${listPath(filter, { after: next })}">Next page</a></p>`
  if (!isOperator) return html`${table}${more}`
  const back = html`<input type="hidden" name="back" value="${listPath(filter, { after: filter.after })}">`
  return html`<form method="post" action="${ACCOUNTS_PATH}/links">${back}
<div class="acts" role="group" aria-label="With the selected accounts"><span class="muted">Selected:</span>
<button>Reconnect links</button>
<button formaction="${ACCOUNTS_PATH}/links.csv">Links as CSV</button>
<button formaction="${ACCOUNTS_PATH}/check">Check</button>
<button formaction="${ACCOUNTS_PATH}/pause">Pause</button>
<button formaction="${ACCOUNTS_PATH}/resume">Resume</button></div>
${table}</form>${more}`
}

function row(account: AccountState, filter: ListFilter, isOperator: boolean): Content[] {
  const { label, domain, accountId, integration, nextAttemptAt, expiresAt } = account
  const name = nameOf(account)
  const value = keyText(account)
  const box =
    isOperator &&
    html`<input type="checkbox" name="accounts" value="${value}" aria-label="Select ${name}"> `
  const needsLink = account.status === 'reauth_required' || account.status === 'disconnected'
  const link =
    needsLink &&
    html`<button class="primary" formaction="${accountPath(account, '/link')}">Reconnect link<span class="visually-hidden"> for ${name}</span></button>`
  return [
    html`<span class="keep">${box}<a href="${accountPath(account)}">${label ?? name}</a></span>
<div class="muted">${label !== null && domain !== null && html`${domain} · `}${accountId} · ${integration}</div>`,
    stateBadges(account),
    troubleOf(account, filter),
    html`<span class="keep">${nextAttemptAt === null ? 'none' : timeTag(nextAttemptAt)}</span>`,
    html`<span class="keep">${timeTag(expiresAt)}</span>`,
    ...(isOperator ? [link] : []),
  ]
}

/** The error or warning of an account, which leads to all accounts with the same. */
function troubleOf(account: AccountState, filter: ListFilter): Html | undefined {
  const { lastErrorCode, lastErrorAt } = account
  const ending = endingOf(account, Date.now())
  const error =
    lastErrorCode !== null &&
    html`${firstSentence(explainFailure(lastErrorCode).problem)}
<div class="muted"><a href="${listPath(filter, { error: lastErrorCode })}">${lastErrorCode}</a>${lastErrorAt !== null && html` · ${timeTag(lastErrorAt)}`}</div>`
  const warning = ending !== undefined && html`<div>${ending.problem}</div>`
  return lastErrorCode === null && ending === undefined ? undefined : html`${error}${warning}`
}

/** The page of the account has the rest. */
function firstSentence(text: string): string {
  return /^.*?\.(?= |$)/s.exec(text)?.[0] ?? text
}
