import type { Integration } from '../../../integrations/integration.ts'
import type { countRecentRefusals } from '../../../integrations/recent-refusals.ts'
import { type Html, html } from '../../../lib/html.ts'
import { explainFailure } from '../../../provider/failures.ts'
import { actionForm, formProblem, textField } from '../fields.ts'
import type { Form } from '../form.ts'
import { live } from '../live.ts'
import { badge, card, copyField, emptyState, facts, stackTable } from '../parts.ts'
import { remedyText } from '../remedy-text.ts'
import { seenFields } from '../seen.ts'
import { timeTag } from '../times.ts'
import { settingsForm } from './integration-form.ts'
import { INTEGRATIONS_PATH, stateAction } from './list-view.ts'
import { rotationSteps } from './rotation-view.ts'
import { sendingState } from './sending-state.ts'

export interface Shown {
  integration: Integration
  refusals: Awaited<ReturnType<typeof countRecentRefusals>>
  isOperator: boolean
  settings: Form
  pace: Form
  secret: Form
  /** Stands above everything else. */
  note?: Html
}

/** The settings that a form was filled in on. */
export function settingsSeen(integration: Integration): unknown {
  const { clientId, redirectUri, acceptsInstalls, profile } = integration
  return [clientId, redirectUri, acceptsInstalls, profile, integration.hasNextSecret]
}

/** Shows one integration: whether it sends, its redirect URI, its secrets without showing them. */
export function integrationView(shown: Shown): { title: string; main: Html } {
  const { integration, refusals, isOperator, settings, note } = shown
  const { name } = integration
  const path = `${INTEGRATIONS_PATH}/${name}`
  return {
    title: `${name} ${sendingState(integration).title}`,
    main: html`${note}
${live('state', html`${stateCard(integration, isOperator)}${refusalCard(refusals)}`)}
${redirectCard(integration, isOperator)}
${isOperator && paceCard(shown)}
${isOperator && rotationSteps(integration, shown.secret)}
${isOperator && buttonCard(path)}
${isOperator && card('Settings', settingsForm(settings, path, seenFields(settingsSeen(integration))))}
${isOperator && html`<div class="acts"><a class="button danger" href="${path}/remove">Remove…</a></div>`}`,
  }
}

function stateCard(integration: Integration, isOperator: boolean): Html {
  const { provider, clientId, sandboxOrigin, breakers, pacePerSecond, provisionalUntil } =
    integration
  const { tone, word, sentence } = sendingState(integration)
  const rows: [string, Html | string][] = [
    ['Platform', provider],
    ['Client ID', html`<code>${clientId}</code>`],
    ['Pace', `${pacePerSecond} refreshes a second`],
    ['Installs from inside the CRM', integration.acceptsInstalls ? 'accepted' : 'not accepted'],
  ]
  if (sandboxOrigin !== null) rows.push(['Sandbox', `${sandboxOrigin}, never the provider`])
  if (provisionalUntil !== null) {
    rows.push(['Provisional', html`removed ${timeTag(provisionalUntil)} unless its code arrives`])
  }
  const open = breakers.map(
    ({ key, reason, openedAt, openUntil }) =>
      html`<li>${key}: closed to sends since ${timeTag(openedAt)} because of ${reason}; tried again ${timeTag(openUntil)}</li>`,
  )
  return card(
    'State',
    html`<p>${badge(tone, word)} ${sentence}</p>${facts(rows)}
${open.length > 0 && html`<h3>Open breakers</h3><ul>${open}</ul>`}
${isOperator && html`<div class="acts">${stateAction(integration)}</div>`}`,
  )
}

function refusalCard(refusals: Shown['refusals']): Html {
  const rows = refusals.map(({ code, times, lastAt }) => {
    const { problem, remedy } = explainFailure(code)
    return [
      html`<code>${code}</code>`,
      html`${times}`,
      html`${problem} <small>${remedyText(remedy)}</small>`,
      timeTag(lastAt),
    ]
  })
  const headings = ['Code', 'Times', 'What it means', 'Last']
  const body =
    rows.length === 0
      ? emptyState('The provider refused no refresh in the last 24 hours.')
      : stackTable('Refusals of the last 24 hours', headings, rows)
  return card('Refusals of the last 24 hours', body)
}

function redirectCard({ name, redirectUri }: Integration, isOperator: boolean): Html {
  return card(
    'Redirect URI',
    html`<pre>${redirectUri}</pre>
<p class="muted">The same as at the provider, byte for byte: ${redirectUri.length} characters, ${redirectUri.endsWith('/') ? 'with a slash' : 'without a slash'} at the end.</p>
${copyField('redirect-uri', 'To copy', redirectUri)}
${
  isOperator &&
  html`<div class="acts">${actionForm({
    action: `${INTEGRATIONS_PATH}/${name}/test-redirect`,
    label: 'Test it from this broker',
  })}</div>`
}`,
  )
}

function paceCard({ integration, pace }: Shown): Html {
  return card(
    'Pace',
    html`<p>All services of an integration share 7 requests a second at the provider.</p>
<form method="post" action="${INTEGRATIONS_PATH}/${integration.name}/pace">${formProblem(pace)}
${textField(pace, {
  name: 'pace_per_second',
  label: 'Refreshes per second',
  type: 'text',
  isRequired: true,
})}<button>Save the pace</button></form>`,
  )
}

function buttonCard(path: string): Html {
  return card(
    'The provider’s button',
    html`<p>Put it into a page of yours. It connects one account, once.</p>
<div class="acts"><a class="button" href="${path}/button">Make a button</a></div>`,
  )
}
