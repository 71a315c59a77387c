import type { Integration } from '../../../integrations/integration.ts'
import { type Html, html } from '../../../lib/html.ts'
import { formProblem, selectField, textField } from '../fields.ts'
import type { Form } from '../form.ts'
import { emptyState } from '../parts.ts'

/** Choices of the field `integration`. */
export function integrationOptions(integrations: Integration[]): [string, string][] {
  return integrations.map(({ name, provider }) => [name, `${name} (${provider})`])
}

/** Shows what to do first where no integration exists. */
export function needsIntegration(): Html {
  return emptyState(
    'There is no integration yet.',
    html`<div class="acts"><a class="button primary" href="/console/integrations#new">Create one</a></div>`,
  )
}

/** The form for a link: what the helper page of the guides does, without copying codes. */
export function linkForm(form: Form, integrations: Integration[]): Html {
  if (integrations.length === 0) return needsIntegration()
  return html`<p>Make a link and send it to an administrator of the account. It leads to the consent page, works once, and for seven days.</p>
<form method="post" action="/console/onboarding/links">${formProblem(form)}
${selectField(form, {
  name: 'integration',
  label: 'Integration',
  options: integrationOptions(integrations),
  isRequired: true,
})}
${textField(form, {
  name: 'account',
  label: 'Account',
  hint: 'Id, domain or subdomain. Then the link connects no other account.',
  placeholder: 'demo.amocrm.ru',
})}
<details class="more"><summary>The link is opened by a page of ours</summary>
${selectField(form, {
  name: 'mode',
  label: 'How the consent page returns',
  options: [
    ['popup', 'popup: the page that opened the window goes to the result'],
    ['post_message', 'post_message: the page that opened the window stays where it is'],
  ],
})}
${textField(form, {
  name: 'opener_origin',
  label: 'Origin of the page that opens the link',
  hint: 'It gets the outcome by postMessage, then the window closes.',
  placeholder: 'https://your.page',
})}</details>
<button class="primary">Make the link</button></form>`
}
