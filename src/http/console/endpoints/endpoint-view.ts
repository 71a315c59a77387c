import type { ListedDelivery } from '../../../deliveries/list.ts'
import type { Endpoint } from '../../../endpoints/store.ts'
import { type Html, html } from '../../../lib/html.ts'
import { actionForm } from '../fields.ts'
import type { Form } from '../form.ts'
import { live } from '../live.ts'
import { badge, card, copyField, emptyState, facts, stackTable, type Tone } from '../parts.ts'
import { clockTag, timeTag } from '../times.ts'
import { settingsForm } from './endpoint-form.ts'
import { endpointState } from './endpoint-state.ts'
import { ENDPOINTS_PATH } from './list-view.ts'

interface Shown {
  endpoint: Endpoint
  deliveries: ListedDelivery[]
  /** Only deliveries in this state. */
  state: string | undefined
  /** The page after this one starts before this delivery. */
  next: number | undefined
  settings: Form
}

const TONES: Record<ListedDelivery['state'], Tone> = {
  pending: 'neutral',
  delivered: 'good',
  failed: 'bad',
  cancelled: 'neutral',
  grouped: 'neutral',
}

/** Shows an endpoint, its deliveries with their response codes, and its settings. */
export function endpointView(shown: Shown): { title: string; main: Html } {
  const { endpoint, settings } = shown
  const { name, kind } = endpoint
  const path = `${ENDPOINTS_PATH}/${name}`
  const { tone, word, sentence } = endpointState(endpoint)
  const state = html`<p>${badge(tone, word)} ${sentence}</p>${factsOf(endpoint)}`
  return {
    title: `${name} ${tone === 'good' ? 'receives its events' : `is ${word}`}`,
    main: html`${live('state', card('State', html`${state}<div class="acts">${actions(endpoint, path)}</div>`))}
${live('deliveries', deliveryCard(shown, path))}
${kind === 'webhook' && secretCard(endpoint, path)}
${card('Settings', settingsForm(settings, path, kind))}
<div class="acts"><a class="button danger" href="${path}/remove">Remove…</a></div>`,
  }
}

function factsOf(endpoint: Endpoint): Html {
  const { kind, origin, types, integrations, lastSuccessAt, createdBy, createdAt } = endpoint
  return facts([
    ['Kind', kind],
    ['Address', html`<code>${origin}</code> <small>the rest is secret</small>`],
    ['Events', types === null ? 'all types' : types.join(', ')],
    ['Integrations', integrations === null ? 'all' : integrations.join(', ')],
    ['Last delivered', lastSuccessAt === null ? 'never' : timeTag(lastSuccessAt)],
    ['Made', html`${timeTag(createdAt)} by ${createdBy}`],
  ])
}

function actions({ state }: Endpoint, path: string): Html {
  if (state === 'disabled') {
    return actionForm({ action: `${path}/enable`, label: 'Enable', tone: 'primary' })
  }
  return html`${actionForm({ action: `${path}/test`, label: 'Send a test', tone: 'primary' })}
${actionForm({ action: `${path}/disable`, label: 'Disable' })}`
}

function deliveryCard({ deliveries, state, next }: Shown, path: string): Html {
  const rows = deliveries.map((delivery) => [
    html`${delivery.type ?? 'event removed'}${delivery.eventIds.length > 1 && html` <small>${delivery.eventIds.length} events</small>`}<br><small>${delivery.integration}${delivery.accountId !== null && html` · ${delivery.accountId}`}</small>`,
    html`${stateBadge(delivery)} ${resultOf(delivery)}`,
    timeTag(delivery.createdAt),
    ['delivered', 'failed', 'cancelled'].includes(delivery.state) &&
      actionForm({
        action: `${path}/deliveries/${delivery.id}/resend`,
        label: 'Send again',
        describe: String(delivery.id),
      }),
  ])
  const filters = html`<p class="muted">${state === undefined ? 'All' : html`<a href="${path}">All</a>`} · ${state === 'failed' ? 'Failed only' : html`<a href="${path}?state=failed">Failed only</a>`}</p>`
  const more =
    next !== undefined &&
    html`<a class="button" href="${path}?before=${next}${state !== undefined && html`&amp;state=${state}`}">Older deliveries</a>`
  return card(
    'Deliveries',
    html`${filters}${
      rows.length === 0
        ? emptyState('Nothing was delivered yet. “Send a test” tries the way.')
        : stackTable('Deliveries', ['Event', 'Result', 'Made', ''], rows)
    }${more}`,
  )
}

function stateBadge({ state, attempts }: ListedDelivery): Html {
  return state === 'pending' && attempts > 0 ? badge('warn', 'retried') : badge(TONES[state], state)
}

function resultOf({
  lastStatus,
  lastError,
  attempts,
  state,
  nextAttemptAt,
  history,
}: ListedDelivery): Html {
  const excerpt = history.at(-1)?.excerpt
  const error = lastError !== null && state !== 'delivered' && html`<code>${lastError}</code>`
  const answer =
    lastStatus === null
      ? error && html`${error}.`
      : html`Answered ${lastStatus}${error && html` (${error})`}.`
  const again =
    state === 'pending' &&
    attempts > 0 &&
    html` Failed ${attempts === 1 ? 'once' : `${attempts} times`}; next attempt ${timeTag(nextAttemptAt)}.`
  return html`${answer}${again}${
    state === 'failed' && excerpt && html`<br><small>${excerpt}</small>`
  }`
}

function secretCard({ previousUntil }: Endpoint, path: string): Html {
  const both =
    previousUntil !== null && previousUntil.getTime() > Date.now()
      ? html`<p>Messages are signed with both secrets until ${clockTag(previousUntil)}.</p>`
      : undefined
  return card(
    'Signing secret',
    html`<p>Messages are signed with it. It was shown once. A new one is shown once as well, and the present one stays valid for a day.</p>${both}
<div class="acts">${actionForm({ action: `${path}/rotate-secret`, label: 'Make a new secret' })}</div>`,
  )
}

/** Shows a new signing secret once. */
export function newSecretView({ name, previousUntil }: Endpoint, secret: string) {
  const overlap =
    previousUntil !== null &&
    html` The previous one stays valid until ${clockTag(previousUntil)}, so that the receiver can change at any moment.`
  return {
    title: `The signing secret of ${name}`,
    main: html`${card(
      'Copy it now',
      html`${copyField('secret', 'Signing secret', secret)}<p>It is shown only now. The receiver checks the signature of each message with it.${overlap}</p>`,
    )}<div class="acts"><a class="button" href="${ENDPOINTS_PATH}/${name}">Go to ${name}</a></div>`,
  }
}

/** Asks before an endpoint is removed. */
export function removalView({ name }: Endpoint) {
  return {
    title: `Remove ${name}?`,
    main: html`<p>Nothing is sent to it any more, and the list of its deliveries is removed. To stop for a while, disable it.</p>
<div class="acts">${actionForm({ action: `${ENDPOINTS_PATH}/${name}/remove`, label: `Remove ${name}`, tone: 'danger' })}<a class="button" href="${ENDPOINTS_PATH}/${name}">Keep it</a></div>`,
  }
}
