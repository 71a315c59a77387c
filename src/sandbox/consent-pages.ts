import { html, scriptLiteral } from '../lib/html.ts'
import { PROFILES } from '../provider/profile-table.ts'
import type { Account, Integration } from './directory.ts'
import { domainOf } from './directory.ts'
import { page } from './page.ts'

export interface ConsentRequest {
  clientId: string
  state: string | undefined
  mode: string
  /** Preselects an account. The provider has no such parameter. */
  account: string | undefined
}

const WORDS = {
  ru: {
    asks: (title: string) => `запрашивает доступ к вашему аккаунту ${title}`,
    account: 'Аккаунт',
    allow: 'Разрешить',
    deny: 'Отказать',
  },
  en: {
    asks: (title: string) => `asks for access to your ${title} account`,
    account: 'Account',
    allow: 'Allow',
    deny: 'Deny',
  },
} as const

/** With more accounts than this a list does not help, and the page asks for the subdomain. */
const MOST_LISTED = 100

/**
 * Renders the page that asks whether an integration may access an account (docs/provider.md, part
 * 1).
 */
export function consentPage(
  integration: Integration,
  accounts: Account[],
  asked: ConsentRequest,
): string {
  const { title, sandbox } = PROFILES[integration.platform]
  const words = WORDS[sandbox.language]
  const body = html`
<h1>${integration.name}</h1>
<p>${integration.name} ${words.asks(title)}.</p>
<p class="muted">Sandbox. Nothing here is real, and nothing leaves this machine.</p>
<form method="post" action="/oauth/decision">
<input type="hidden" name="client_id" value="${asked.clientId}">
${asked.state === undefined ? '' : html`<input type="hidden" name="state" value="${asked.state}">`}
<input type="hidden" name="mode" value="${asked.mode}">
<div class="field"><label for="account">${words.account}</label>
${accountField(accounts, asked.account)}</div>
<div class="acts">
<button class="primary" name="decision" value="allow">${words.allow}</button>
<button name="decision" value="deny">${words.deny}</button>
</div>
</form>
<script>
if (window.opener) {
  const field = document.createElement('input')
  Object.assign(field, { type: 'hidden', name: 'opener', value: '1' })
  document.forms[0].append(field)
}
</script>`
  return page(`${integration.name} · sandbox`, body, sandbox.language)
}

/** `mode=popup`: redirects the opener's window and closes this one. */
export function openerRedirectPage(url: string): string {
  const body = html`
<h1>Done</h1>
<p><a href="${url}" rel="noreferrer">Continue</a></p>
<script>
const url = ${scriptLiteral(url)}
if (window.opener) { window.opener.location = url; window.close() } else { window.location = url }
</script>`
  return page('Done · sandbox', body)
}

/** Sends a refusal to the opener as a message (docs/provider.md, part 1). */
export function openerRefusalPage(clientId: string, url: string): string {
  const message = { client_id: clientId, error: 'access_denied' }
  const body = html`
<h1>Access denied</h1>
<p><a href="${url}" rel="noreferrer">Continue</a></p>
<script>
if (window.opener) { window.opener.postMessage(${scriptLiteral(message)}, '*'); window.close() }
else { window.location = ${scriptLiteral(url)} }
</script>`
  return page('Access denied · sandbox', body)
}

export function messagePage(title: string, text: string): string {
  return page(`${title} · sandbox`, html`<h1>${title}</h1><p>${text}</p>`)
}

function accountField(accounts: Account[], selected: string | undefined) {
  if (accounts.length > MOST_LISTED) {
    return html`<input id="account" name="account" required value="${selected ?? ''}">`
  }
  const options = accounts.map((account) => {
    const mark = account.subdomain === selected ? html` selected` : ''
    const label = `${account.name} (${domainOf(account)})`
    return html`<option value="${account.subdomain}"${mark}>${label}</option>`
  })
  return html`<select id="account" name="account" required>${options}</select>`
}
