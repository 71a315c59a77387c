import type { ClientRow } from '../../../clients/store.ts'
import { type Html, html } from '../../../lib/html.ts'
import { emptyState, stackTable } from '../parts.ts'
import { CLIENTS_PATH } from './clients-view.ts'

export interface NamedAccount {
  integration: string
  accountId: number
  domain: string | null
  status: string
}

/** Shows which clients may read the accounts that a name fits, and by which grant. */
export function accessView(typed: string, accounts: NamedAccount[], clients: ClientRow[]): Html {
  if (accounts.length === 0) return emptyState(`No account is known as “${typed}”.`)
  return html`${accounts.map((account) => accessTo(account, clients))}`
}

function accessTo(account: NamedAccount, clients: ClientRow[]): Html {
  const { integration, accountId, domain, status } = account
  const rows = clients.flatMap((client) => {
    const why = whyMayRead(client, account)
    if (why === undefined) return []
    return [[html`<a href="${CLIENTS_PATH}/${client.name}">${client.name}</a>`, why]]
  })
  const name = domain ?? String(accountId)
  return html`<h3><a href="/console/accounts/${integration}/${accountId}">${name}</a> <small>${accountId} · ${integration} · ${status}</small></h3>
${
  rows.length === 0
    ? emptyState('No client may read it. OPERATOR_KEY may.')
    : stackTable(`Clients that may read ${name}`, ['Client', 'Why'], rows)
}`
}

/** @returns undefined when the client may not read the account */
function whyMayRead(
  { role, grants, revokedAt }: ClientRow,
  { integration, accountId }: NamedAccount,
): string | undefined {
  if (revokedAt !== null || role === 'monitor') return undefined
  if (role === 'operator') return 'It is an operator.'
  const own = grants.filter((grant) => grant.integration === integration)
  if (own.some((grant) => grant.accountId === null))
    return `It may read all accounts of ${integration}.`
  return own.some((grant) => grant.accountId === accountId)
    ? 'It has a grant for this account.'
    : undefined
}
