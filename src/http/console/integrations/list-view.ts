import type { Integration } from '../../../integrations/integration.ts'
import { type Html, html } from '../../../lib/html.ts'
import { actionForm } from '../fields.ts'
import type { Form } from '../form.ts'
import { live } from '../live.ts'
import { badge, card, emptyState, stackTable } from '../parts.ts'
import { externalButtonLink } from './external-link.ts'
import { newIntegrationForm } from './integration-form.ts'
import { sendingState } from './sending-state.ts'

export const INTEGRATIONS_PATH = '/console/integrations'

/** Shows all integrations with the one action that each needs. */
export function listView(integrations: Integration[], form: Form, isOperator: boolean) {
  const stopped = integrations.filter((each) => sendingState(each).tone !== 'good')
  return {
    title: titleOf(integrations.length, stopped),
    main: html`${live('integrations', integrations.length === 0 ? emptyState('There is no integration yet. Create one below, or set AMO_CLIENT_ID, AMO_CLIENT_SECRET and AMO_REDIRECT_URI (or KOMMO_…) and restart.') : table(integrations, isOperator))}
${isOperator && integrations.length > 1 && allActions()}
${isOperator && html`<section class="card" id="new"><h2>New integration</h2>${newIntegrationForm(form)}</section>`}
${isOperator && externalButtonLink()}`,
  }
}

function titleOf(total: number, stopped: Integration[]): string {
  const [first] = stopped
  if (total === 0) return 'No integration yet'
  if (first === undefined) return total === 1 ? 'The integration runs' : 'All integrations run'
  if (stopped.length === 1) return `${first.name} ${sendingState(first).title}`
  return `${stopped.length} of ${total} integrations do not send`
}

function table(integrations: Integration[], isOperator: boolean): Html {
  const rows = integrations.map((integration) => {
    const { name, provider, external, pacePerSecond } = integration
    const { tone, word, sentence } = sendingState(integration)
    return [
      html`<a href="${INTEGRATIONS_PATH}/${name}">${name}</a><br><small>${provider}${external && ' · made by a button'}</small>`,
      html`${badge(tone, word)} ${sentence}`,
      html`${pacePerSecond} a second`,
      isOperator && stateAction(integration),
    ]
  })
  return card('Integrations', stackTable('Integrations', ['Name', 'State', 'Pace', ''], rows))
}

/** Returns the button that pauses an integration, or resumes it. */
export function stateAction({ name, state }: Integration): Html {
  const isRunning = state === 'running'
  return actionForm({
    action: `${INTEGRATIONS_PATH}/${name}/${isRunning ? 'pause' : 'resume'}`,
    label: isRunning ? 'Pause' : 'Resume',
    ...(isRunning ? {} : { tone: 'primary' as const }),
    describe: name,
    fields: { state },
  })
}

function allActions(): Html {
  return html`<div class="acts">${actionForm({ action: '/console/all-integrations/pause', label: 'Pause all' })}
${actionForm({ action: '/console/all-integrations/resume', label: 'Resume all that are paused' })}</div>`
}
