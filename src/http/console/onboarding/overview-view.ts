import type { PendingAccount } from '../../../accounts/pending-accounts.ts'
import type { LinkProgress } from '../../../connect-links/link-progress.ts'
import type { Integration } from '../../../integrations/integration.ts'
import { type Html, html } from '../../../lib/html.ts'
import type { OnboardingRow } from '../../../onboarding/list-onboardings.ts'
import { isFailure } from '../../onboarding/outcome-texts.ts'
import { actionForm } from '../fields.ts'
import type { Form } from '../form.ts'
import { live } from '../live.ts'
import { badge, card, emptyState, stackTable } from '../parts.ts'
import { seenFields } from '../seen.ts'
import { timeTag } from '../times.ts'
import { linkForm } from './link-form.ts'
import { describeLink } from './link-state.ts'
import { ORIGINS, outcomeBadge, outcomeText } from './outcome-parts.ts'

export const ONBOARDING_PATH = '/console/onboarding'

const DAY_MS = 24 * 3600 * 1000

interface Overview {
  pending: PendingAccount[]
  onboardings: OnboardingRow[]
  links: LinkProgress[]
  integrations: Integration[]
  form: Form
}

/** What an approval was decided on. */
export function pendingState(account: { status?: string; domain: string | null }): unknown {
  return [account.status ?? 'pending', account.domain]
}

/** Returns the page; `note` stands above everything else. */
export function overviewView(overview: Overview): (note?: Html) => { title: string; main: Html } {
  const { pending, onboardings, links, integrations, form } = overview
  return (note) => ({
    title: titleOf(overview),
    main: html`${note}
${live('waiting', pending.length > 0 && waiting(pending))}
${card('Connect an account', linkForm(form, integrations))}
${otherWays()}
${live('links', card('Links', linkTable(links)))}
${live('arrivals', card('What came in', arrivals(onboardings)))}`,
  })
}

function titleOf({ pending, onboardings }: Overview): string {
  if (pending.length > 0) {
    return pending.length === 1
      ? '1 account waits for approval'
      : `${pending.length} accounts wait for approval`
  }
  const since = Date.now() - DAY_MS
  const failed = onboardings.filter(
    ({ outcome, receivedAt }) => isFailure(outcome) && receivedAt.getTime() > since,
  )
  if (failed.length === 1) return '1 onboarding has failed today'
  return failed.length > 0 ? `${failed.length} onboardings have failed today` : 'Connect accounts'
}

function waiting(pending: PendingAccount[]): Html {
  const rows = pending.map((account) => {
    const { integration, accountId, domain, createdAt } = account
    const name = domain ?? String(accountId)
    return [
      html`${name}<br><small>${accountId} · ${integration}</small>`,
      html`Installed from inside the CRM ${timeTag(createdAt)}. Its tokens are kept valid and handed to nobody.`,
      html`<div class="acts">${actionForm({
        action: `${ONBOARDING_PATH}/pending/${integration}/${accountId}/approve`,
        label: 'Approve',
        tone: 'primary',
        describe: name,
        fields: seenFields(pendingState(account)),
      })}<a class="button" href="/console/accounts/${integration}/${accountId}">Look</a></div>`,
    ]
  })
  const headings = ['Account', 'What happened', '']
  return card('Waiting for approval', stackTable('Waiting for approval', headings, rows))
}

function otherWays(): Html {
  return card(
    'Other ways in',
    html`<div class="acts"><a class="button" href="${ONBOARDING_PATH}/code">Exchange a code</a>
<a class="button" href="${ONBOARDING_PATH}/api-key">Exchange an API key</a>
<a class="button" href="${ONBOARDING_PATH}/import">Import token pairs</a>
<a class="button" href="/console/integrations">Make a button</a></div>`,
  )
}

function linkTable(links: LinkProgress[]): Html {
  if (links.length === 0) return emptyState('No link was made here or with the API yet.')
  const rows = links.map((link) => {
    const { tone, word, sentence } = describeLink(link)
    return [
      html`<a href="${ONBOARDING_PATH}/links/${link.id}">${link.expectedAccount ?? 'any account'}</a><br><small>${link.integration ?? 'made by a button'}</small>`,
      html`${badge(tone, word)} ${sentence}`,
      html`${timeTag(link.createdAt)}<br><small>by ${link.createdBy}</small>`,
    ]
  })
  return stackTable('Links', ['For', 'State', 'Made'], rows)
}

function arrivals(onboardings: OnboardingRow[]): Html {
  if (onboardings.length === 0) {
    return emptyState('No consent, install or code has arrived yet. Make a link above and open it.')
  }
  const rows = onboardings.map((row) => [
    html`<a href="${ONBOARDING_PATH}/callbacks/${row.id}">${row.domain ?? row.referer ?? 'host unknown'}</a><br><small>${row.integration}</small>`,
    html`${outcomeBadge(row.outcome)} ${outcomeText(row)}`,
    ORIGINS[row.origin],
    timeTag(row.receivedAt),
  ])
  return stackTable('What came in', ['Host', 'How it ended', 'By', 'Arrived'], rows)
}
