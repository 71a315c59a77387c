import type { Endpoint } from '../../../endpoints/store.ts'
import { html } from '../../../lib/html.ts'
import type { Form } from '../form.ts'
import { live } from '../live.ts'
import { badge, card, emptyState, stackTable } from '../parts.ts'
import { timeTag } from '../times.ts'
import { newEndpointForm } from './endpoint-form.ts'
import { endpointState } from './endpoint-state.ts'

export const ENDPOINTS_PATH = '/console/endpoints'

/** Shows all endpoints and whether they receive. */
export function listView(endpoints: Endpoint[], form: Form) {
  const rows = endpoints.map((endpoint) => {
    const { tone, word, sentence } = endpointState(endpoint)
    return [
      html`<a href="${ENDPOINTS_PATH}/${endpoint.name}">${endpoint.name}</a><br><small>${endpoint.kind} · ${endpoint.origin}</small>`,
      html`${badge(tone, word)} ${sentence}`,
      endpoint.lastSuccessAt === null
        ? html`<span class="muted">never</span>`
        : timeTag(endpoint.lastSuccessAt),
    ]
  })
  const table =
    rows.length === 0
      ? emptyState(
          'Nobody is notified yet. Create an endpoint below: a webhook, a Telegram chat or a Slack channel.',
        )
      : stackTable('Endpoints', ['Name', 'State', 'Last delivered'], rows)
  return {
    title: titleOf(endpoints),
    main: html`${live('endpoints', card('Endpoints', table))}${card('New endpoint', newEndpointForm(form))}`,
  }
}

function titleOf(endpoints: Endpoint[]): string {
  if (endpoints.length === 0) return 'No endpoint yet'
  const [first, ...others] = endpoints.filter((each) => endpointState(each).tone !== 'good')
  if (first === undefined) return 'All endpoints receive their events'
  return others.length === 0
    ? `${first.name} is ${endpointState(first).word}`
    : `${others.length + 1} endpoints do not get their events`
}
