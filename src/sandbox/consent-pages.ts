import type { Account, Integration } from './directory.ts'
import { domainOf } from './directory.ts'
import { html, page, scriptLiteral } from './html.ts'

export interface ConsentRequest {
  clientId: string
  state: string | undefined
  mode: string
  /** Preselects an account: the sandbox's own, the provider has no such parameter. */
  account: string | undefined
}

const WORDS = {
  amocrm: {
    lang: 'ru',
    asks: 'запрашивает доступ к вашему аккаунту amoCRM',
    account: 'Аккаунт',
    allow: 'Разрешить',
    deny: 'Отказать',
  },
  kommo: {
    lang: 'en',
    asks: 'asks for access to your Kommo account',
    account: 'Account',
    allow: 'Allow',
    deny: 'Deny',
  },
} as const

/** Above this a list is no help: the page asks for the subdomain. */
const MOST_LISTED = 100

/** The page that asks whether an integration may enter an account (provider.md 1). */
export function consentPage(
  integration: Integration,
  accounts: Account[],
  asked: ConsentRequest,
): string {
  const words = WORDS[integration.platform]
  const body = html`
<h1>${integration.name}</h1>
<p>${integration.name} ${words.asks}.</p>
<p class="dim"><small>Sandbox. Nothing here is real, and nothing leaves this machine.</small></p>
<form method="post" action="/oauth/decision">
<input type="hidden" name="client_id" value="${asked.clientId}">
${asked.state === undefined ? '' : html`<input type="hidden" name="state" value="${asked.state}">`}
<input type="hidden" name="mode" value="${asked.mode}">
<label for="account">${words.account}</label>
${accountField(accounts, asked.account)}
<div class="buttons">
<button class="go" name="decision" value="allow">${words.allow}</button>
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
  return page(`${integration.name} · sandbox`, body, words.lang)
}

/** `mode=popup`: the redirect happens in the opener's window, this one closes. */
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

/** A refusal told to the opener as a message (provider.md 1). */
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
