import type { LastReads } from '../../../clients/last-reads.ts'
import type { ClientRow } from '../../../clients/store.ts'
import { type Html, html } from '../../../lib/html.ts'
import { formProblem, selectField, textArea, textField } from '../fields.ts'
import type { Form } from '../form.ts'
import { badge, card, emptyState, stackTable } from '../parts.ts'
import { timeTag } from '../times.ts'
import { keysSentence } from './client-view.ts'

export const CLIENTS_PATH = '/console/clients'

interface Shown {
  clients: ClientRow[]
  next: string | null
  reads: LastReads
  integrations: string[]
  form: Form
  /** Who may read an account, if that was asked. */
  access: Html | undefined
}

/** Shows clients and grants as a matrix: one row for a client, one column for an integration. */
export function clientsView({ clients, next, reads, integrations, form, access }: Shown) {
  const live = clients.filter(({ revokedAt }) => revokedAt === null)
  return {
    title: titleOf(live.length, next !== null),
    main: html`${accessForm(access)}
${card(
  'Clients and grants',
  clients.length === 0
    ? emptyState('No service has a key yet. Create a client below.')
    : matrix(clients, integrations, reads),
)}
${next !== null && html`<div class="acts"><a class="button" href="${CLIENTS_PATH}?after=${next}">More clients</a></div>`}
${card('New client', newClientForm(form))}`,
  }
}

function titleOf(count: number, hasMore: boolean): string {
  if (hasMore) return `More than ${count} clients may call the broker`
  return count === 1 ? '1 client may call the broker' : `${count} clients may call the broker`
}

function matrix(clients: ClientRow[], integrations: string[], reads: LastReads): Html {
  const rows = clients.map((client) => {
    const { name, role, revokedAt } = client
    const cells = integrations.map((integration) => cellOf(client, integration, reads))
    const last = reads.ofClient(name)
    return [
      html`<a href="${CLIENTS_PATH}/${name}">${name}</a> <small>${role}</small>${reachesNothing(client) && html` ${badge('warn', 'no grants')}`}`,
      ...cells,
      revokedAt === null
        ? keysSentence(client)
        : html`${badge('neutral', 'revoked')} ${timeTag(revokedAt)}`,
      last === undefined ? html`<span class="muted">never</span>` : timeTag(last),
    ]
  })
  return stackTable('Clients and grants', ['Client', ...integrations, 'Keys', 'Last read'], rows)
}

/** A reader without grants has a key that opens nothing. */
function reachesNothing({ role, grants, revokedAt }: ClientRow): boolean {
  return role === 'reader' && grants.length === 0 && revokedAt === null
}

function cellOf(
  { name, role, grants, revokedAt }: ClientRow,
  integration: string,
  reads: LastReads,
): Html {
  if (revokedAt !== null) return html`<span class="muted">–</span>`
  if (role === 'operator') return html`everything`
  if (role === 'monitor') return html`<span class="muted">states only</span>`
  const own = grants.filter((grant) => grant.integration === integration)
  if (own.length === 0) return html`<span class="muted">–</span>`
  const unused = reads.of(name, integration) === undefined && html` ${badge('warn', 'never read')}`
  if (own.some(({ accountId }) => accountId === null)) return html`all accounts${unused}`
  return html`${own.length} ${own.length === 1 ? 'account' : 'accounts'}${unused}`
}

function accessForm(access: Html | undefined): Html {
  return card(
    'Who may read an account?',
    html`<form class="inline" method="get" action="${CLIENTS_PATH}"><div class="field"><label for="field-account">Id, domain or subdomain</label>
<input id="field-account" name="account" type="search" autocomplete="off" required></div><button>Show</button></form>${access}`,
  )
}

function newClientForm(form: Form): Html {
  return html`<p>One client for each service. Its key is shown once.</p>
<form method="post" action="${CLIENTS_PATH}">${formProblem(form)}
${textField(form, { name: 'name', label: 'Name', hint: 'Small letters, digits and hyphens. A name is never used again.', isRequired: true })}
${selectField(form, {
  name: 'role',
  label: 'Role',
  options: [
    ['reader', 'reader: tokens of its grants'],
    ['monitor', 'monitor: health and states, no tokens'],
    ['operator', 'operator: everything'],
  ],
  isRequired: true,
})}
${grantsField(form)}
${expiryField(form)}
<button class="primary">Create the client</button></form>`
}

/** The field for the grants of a reader. */
export function grantsField(form: Form): Html {
  return textArea(form, {
    name: 'grants',
    label: 'Grants',
    hint: html`One in a line, for readers only: <code>amocrm/demo.amocrm.ru</code>, <code>amocrm/26102028</code>, or <code>amocrm/*</code> for all accounts.`,
    rows: 4,
  })
}

/** The field for the life of a key. */
export function expiryField(form: Form): Html {
  return textField(form, {
    name: 'expires_in_days',
    label: 'The key ends after this number of days',
    hint: 'Empty: it is valid until it is ended.',
  })
}
