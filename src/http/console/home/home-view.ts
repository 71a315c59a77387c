import type { AccountState } from '../../../accounts/store.ts'
import { type Html, html } from '../../../lib/html.ts'
import { explainFailure } from '../../../provider/failures.ts'
import { badge, card, emptyState, formatNumber, stackTable, tiles } from '../parts.ts'
import { accountPath } from '../paths.ts'
import { timeTag } from '../times.ts'
import { forecastView } from './forecast-view.ts'
import type { DeadAccount, Needs, Notice } from './needs.ts'

/** Returns what needs a person, as a sentence. */
export function homeTitle({ counts }: Needs, notices: readonly Notice[]): string {
  const waiting = counts.reauth_required + counts.pending
  if (waiting > 0)
    return waiting === 1
      ? 'One account needs a person'
      : `${formatNumber(waiting)} accounts need a person`
  const bad = notices.filter(({ tone }) => tone === 'bad').length
  if (bad > 0) return bad === 1 ? 'One thing needs a person' : `${bad} things need a person`
  if (counts.active + counts.disconnected === 0) return 'No account is connected yet'
  const warnings = notices.filter(({ tone }) => tone === 'warn').length
  if (warnings > 0) {
    return `No account needs a person, but there ${warnings === 1 ? 'is one warning' : `are ${warnings} warnings`}`
  }
  return 'Everything runs'
}

/** Shows what the broker did by itself, the accounts that need a person, and what comes. */
export function homeView(needs: Needs, notices: readonly Notice[], mayAct: boolean): Html {
  const { counts, byIntegration, dead, pending, forecast } = needs
  const total = Object.values(counts).reduce((sum, each) => sum + each, 0)
  return html`${notices.map(noticeView)}${total === 0 && welcome(mayAct)}
${total > 0 && stateTiles(needs)}
${dead.length > 0 && deadView(dead, counts.reauth_required, mayAct)}
${pending.length > 0 && pendingView(pending, counts.pending)}
${byIntegration.size > 1 && integrationsView(byIntegration)}
${total > 0 && forecastView(forecast)}`
}

/** Shows one notice. */
export function noticeView({ tone, title, text, link }: Notice): Html {
  return html`<section class="band ${tone}"><div><b>${title}</b></div><div>${text}</div>
${link !== undefined && html`<div><a href="${link.href}">${link.text}</a></div>`}</section>`
}

function welcome(mayAct: boolean): Html {
  const text =
    'The broker keeps the tokens of connected accounts valid, and hands them to your services. Connect the first account with a link that an administrator of the account opens.'
  return card(
    'Connect an account',
    emptyState(
      text,
      mayAct &&
        html`<p><a class="button primary" href="/console/onboarding">Create a connect link</a></p>`,
    ),
  )
}

function stateTiles({ counts, ending }: Needs): Html {
  const list = '/console/accounts?'
  return tiles('Accounts by state', [
    {
      count: counts.reauth_required,
      label: 'to authorize again',
      href: `${list}status=reauth_required`,
      tone: 'bad',
    },
    {
      count: counts.pending,
      label: 'waiting for approval',
      href: `${list}status=pending`,
      tone: 'warn',
    },
    { count: ending, label: 'ending within two weeks', href: `${list}warning=any`, tone: 'warn' },
    { count: counts.disconnected, label: 'disconnected', href: `${list}status=disconnected` },
    { count: counts.active, label: 'active', href: `${list}status=active`, tone: 'good' },
  ])
}

function deadView(dead: readonly DeadAccount[], all: number, mayAct: boolean): Html {
  const rows = dead.map(({ account, readers }) => {
    const { lastErrorCode, expiresAt, statusSince } = account
    const { problem } = explainFailure(lastErrorCode ?? 'unknown')
    const isOver = expiresAt.getTime() <= Date.now()
    const [last] = readers
    return [
      nameOf(account),
      html`${badge('bad', lastErrorCode ?? 'unknown')} ${problem}
<small>Found ${timeTag(statusSince)}. ${isOver ? html`Its token ended ${timeTag(expiresAt)}.` : html`Its token is served until it ends, ${timeTag(expiresAt)}.`}</small>`,
      last === undefined
        ? html`<small>nobody this week</small>`
        : html`${readers.map(({ client }) => client).join(', ')} <small>${timeTag(last.lastReadAt)}</small>`,
      mayAct &&
        html`<a class="button primary" href="${accountPath(account)}">Repair<span class="visually-hidden"> ${account.domain}</span></a>`,
    ]
  })
  const more =
    all > dead.length &&
    html`<p><a href="/console/accounts?status=reauth_required">All ${formatNumber(all)} accounts</a></p>`
  return card(
    'To authorize again',
    html`${stackTable('Accounts to authorize again', ['Account', 'What happened', 'Read by', ''], rows)}${more}`,
  )
}

function pendingView(pending: readonly AccountState[], all: number): Html {
  const rows = pending.map((account) => [
    nameOf(account),
    html`Installed ${timeTag(account.createdAt)} without a link of yours. Nobody gets its tokens until it is approved.`,
    html`<a class="button" href="${accountPath(account)}">Look at it<span class="visually-hidden">: ${account.domain}</span></a>`,
  ])
  const more =
    all > pending.length &&
    html`<p><a href="/console/accounts?status=pending">All ${formatNumber(all)} accounts</a></p>`
  return card(
    'Waiting for approval',
    html`${stackTable('Accounts that wait for approval', ['Account', 'What happened', ''], rows)}${more}`,
  )
}

function integrationsView(byIntegration: Needs['byIntegration']): Html {
  const cell = (integration: string, status: string, count: number) =>
    count === 0
      ? html`<span class="muted">0</span>`
      : html`<a href="/console/accounts?${new URLSearchParams({ integration, status }).toString()}">${formatNumber(count)}</a>`
  const rows = [...byIntegration].map(([name, counts]) => [
    html`<a href="/console/integrations/${encodeURIComponent(name)}">${name}</a>`,
    cell(name, 'reauth_required', counts.reauth_required),
    cell(name, 'pending', counts.pending),
    cell(name, 'disconnected', counts.disconnected),
    cell(name, 'active', counts.active),
  ])
  const headings = [
    'Integration',
    'To authorize again',
    'Waiting for approval',
    'Disconnected',
    'Active',
  ]
  return card('By integration', stackTable('Accounts by integration and state', headings, rows))
}

function nameOf(account: AccountState): Html {
  const { integration, accountId, domain, label } = account
  return html`<a href="${accountPath(account)}">${domain ?? accountId}</a><br>
<small>${label !== null && html`${label} · `}${integration}/${accountId}</small>`
}
