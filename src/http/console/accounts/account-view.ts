import { endingOf } from '../../../accounts/expiry-watch.ts'
import type { Reader } from '../../../accounts/readers.ts'
import type { AccountState } from '../../../accounts/store.ts'
import { type Html, html } from '../../../lib/html.ts'
import { explainFailure } from '../../../provider/failures.ts'
import { actionForm } from '../fields.ts'
import { band, card, emptyState, facts, stackTable } from '../parts.ts'
import { accountPath } from '../paths.ts'
import { remedyText } from '../remedy-text.ts'
import { seenFields } from '../seen.ts'
import { clockTag, timeTag } from '../times.ts'
import { nameOf, seenState, stateBadges, stateSentences } from './state.ts'
import type { Entry } from './timeline.ts'
import { type TimelineOptions, timelineCard } from './timeline-view.ts'

export interface AccountView {
  account: AccountState
  /** Null: unknown, or the token cannot be opened. */
  scopes: string[] | null
  entries: Entry[]
  /** Undefined for monitors, who see no clients. */
  readers: Reader[] | undefined
  timeline: TimelineOptions
  now: Date
  /** What a refused action says. */
  note?: Html | undefined
}

/** Shows one account: its state in sentences, what to do, its history and its readers. */
export function accountMain(view: AccountView): Html {
  const { account, entries, readers, timeline, note, now } = view
  const { label, integration, accountId } = account
  const isOperator = readers !== undefined
  return html`${note}
<p>${stateBadges(account)} ${label !== null && html`<b>${label}</b> · `}${integration} · ${accountId}</p>
<p>${stateSentences(account, now)}</p>
${troubles(account)}
${isOperator && actions(account)}
${card('Details', details(view))}
${timelineCard(entries, timeline)}
${readers !== undefined && card('Who reads it', readersPart(readers, account))}`
}

function troubles(account: AccountState): Html {
  const { lastErrorCode, lastErrorAt } = account
  const failure = lastErrorCode === null ? undefined : explainFailure(lastErrorCode)
  const ending = endingOf(account, Date.now())
  return html`${
    failure &&
    band(
      'bad',
      failure.problem,
      html`${remedyText(failure.remedy)}
<div class="muted">${lastErrorCode}${lastErrorAt !== null && html`, ${timeTag(lastErrorAt)}`}</div>`,
    )
  }${
    ending &&
    band('warn', ending.problem, html`${remedyText(ending.remedy)} It ends ${clockTag(ending.at)}.`)
  }`
}

function actions(account: AccountState): Html {
  const { status, paused, shadow, kind } = account
  const fields = seenFields(seenState(account))
  const act = (below: string, label: string, tone?: 'primary' | 'danger') =>
    actionForm({ action: accountPath(account, below), label, fields, ...(tone && { tone }) })
  const isDead = status === 'reauth_required' || status === 'disconnected'
  const isRefreshed = !isDead && kind === 'oauth' && !shadow
  return html`<div class="acts" role="group" aria-label="Actions">
${status === 'pending' && act('/approve', 'Approve', 'primary')}
${act('/link', 'Reconnect link', isDead ? 'primary' : undefined)}
${!isDead && act('/check', 'Check')}
${shadow && act('/take-over', 'End the shadow', 'primary')}
${isRefreshed && !paused && act('/force', 'Refresh now')}
${paused ? act('/resume', 'Resume', 'primary') : isRefreshed && act('/pause', 'Pause')}
<a class="button" href="${accountPath(account, '/label')}">Edit the label</a>
<a class="button danger" href="${accountPath(account, '/remove')}">Remove…</a></div>`
}

function details({ account, scopes, now }: AccountView): Html {
  const { domain, kind, generation, createdAt, lastRefreshAt, lastReadAt } = account
  const { refreshTokenExpiresAt, statusSince } = account
  return facts([
    ['Host', domain ?? 'belongs to another account now'],
    ['Kind', kind === 'oauth' ? 'OAuth: refreshed here' : 'long-lived token'],
    ['Scopes', scopes === null ? 'unknown' : scopes.join(', ') || 'none'],
    ['In this state since', clockTag(statusSince, now)],
    ['Connected', clockTag(createdAt, now)],
    ['Last refresh', lastRefreshAt === null ? 'never' : timeTag(lastRefreshAt, now)],
    [
      'Last read',
      lastReadAt === null
        ? 'never'
        : html`${timeTag(lastReadAt, now)} <span class="muted">(precise to six hours)</span>`,
    ],
    ...(refreshTokenExpiresAt === null
      ? []
      : [['Refresh token expires unused', clockTag(refreshTokenExpiresAt, now)] as const]),
    ['Generation', generation],
  ])
}

/** Lists the clients that have read the token in the last week. */
export function readersPart(readers: Reader[], account: AccountState): Html {
  if (readers.length === 0) {
    return emptyState(`No service has read the token of ${nameOf(account)} in the last week.`)
  }
  return stackTable(
    'Readers of the last week',
    ['Client', 'Last read'],
    readers.map(({ client, lastReadAt }) => [
      html`<a href="/console/clients/${client}">${client}</a>`,
      timeTag(lastReadAt),
    ]),
  )
}
