import { html } from '../lib/html.ts'
import { domainOf } from './directory.ts'
import { faultTable } from './fault-table.ts'
import { page } from './page.ts'
import { scenarios } from './scenarios.ts'
import { snakeKeys } from './wire.ts'
import type { World } from './world.ts'

const MOST_LISTED = 50

/** Renders `/__sandbox/`: integrations, accounts, counters, scenarios and faults. */
export function indexPage(world: World): string {
  const { directory, faults, books, settings, limiter } = world
  const body = html`
<h1>amoCRM and Kommo sandbox</h1>
<p>Stands in for the provider: authorize page, token endpoint, probe, API. One address for every
account; the <code>Host</code> header says which. All in memory, nothing leaves this machine.</p>
<p class="muted">Access tokens live ${settings.accessTtlSeconds} s, refresh tokens
${settings.refreshTtlSeconds} s, codes ${settings.codeTtlSeconds} s. Old access tokens
${settings.oldAccessTokenSurvives ? 'survive' : 'die at'} a refresh. Rate limits are
${limiter.get() === false ? 'off' : 'on'}.</p>
<h2>Integrations</h2>
<table><tr><th>Platform</th><th>Name</th><th>client_id</th><th>Redirect URI</th></tr>
${[...directory.integrations.values()].slice(0, MOST_LISTED).map(
  (integration) => html`<tr><td>${integration.platform}</td>
<td><a href="/oauth?client_id=${encodeURIComponent(integration.clientId)}">${integration.name}</a></td>
<td><code>${integration.clientId}</code></td><td><code>${integration.redirectUri}</code></td></tr>`,
)}</table>
<h2>Accounts (${directory.accounts.size})</h2>
<table><tr><th>Domain</th><th>Id</th><th>API host</th></tr>
${[...directory.accounts.values()].slice(0, MOST_LISTED).map(
  (account) => html`<tr><td>${domainOf(account)}</td><td>${account.accountId}</td>
<td>${account.apiDomain}</td></tr>`,
)}</table>
<h2>Counters</h2>
<table>${Object.entries(snakeKeys(books.totals)).map(
    ([name, value]) => html`<tr><td>${name}</td><td>${String(value)}</td></tr>`,
  )}</table>
<h2>Scenarios</h2>
<table>${[...scenarios].map(
    ([name, { does }]) =>
      html`<tr><td><code>POST /__sandbox/scenarios/${name}</code></td><td>${does}</td></tr>`,
  )}</table>
<h2>Active faults</h2>
${faults.list().length === 0 ? html`<p class="muted">None.</p>` : activeFaults(world)}
<h2>All faults</h2>
<table>${[...faultTable].map(
    ([name, { does }]) => html`<tr><td><code>${name}</code></td><td>${does}</td></tr>`,
  )}</table>`
  return page('Sandbox', body)
}

function activeFaults({ faults }: World) {
  const rows = faults.list().map(({ spec, remaining, fired }) => {
    const left = Number.isFinite(remaining) ? remaining : 'until switched off'
    return html`<tr><td><code>${JSON.stringify(spec)}</code></td><td>${fired}</td><td>${left}</td></tr>`
  })
  return html`<table><tr><th>Fault</th><th>Fired</th><th>Left</th></tr>${rows}</table>`
}
