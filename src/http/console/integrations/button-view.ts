import type { Button } from '../../../connect-links/buttons.ts'
import { type Html, html } from '../../../lib/html.ts'
import { PROFILES, PROVIDER_NAMES } from '../../../provider/profile-table.ts'
import { formProblem, selectField, textArea, textField } from '../fields.ts'
import { emptyForm, type Form } from '../form.ts'
import { card, copyField } from '../parts.ts'
import { clockTag } from '../times.ts'
import { INTEGRATIONS_PATH } from './list-view.ts'

/** The form for a button of an integration that exists. */
export function buttonView(integration: string, form: Form) {
  return {
    title: `A button for ${integration}`,
    main: html`<p>The provider’s own script draws it. It connects one account, once, like a connect link.</p>
<form method="post" action="${INTEGRATIONS_PATH}/${integration}/button">${formProblem(form)}${lookFields(form)}
<div class="acts"><button class="primary">Make the button</button><a class="button" href="${INTEGRATIONS_PATH}/${integration}">Back</a></div></form>`,
  }
}

/**
 * The form for a button that creates an integration in the account of the person who presses it.
 */
export function externalView(form: Form) {
  return {
    title: 'A button that creates an integration',
    main: html`<p>The integration is made in the account of the person who presses the button. Its keys arrive at <code>/hooks/secrets</code>, and it is removed after 30 minutes unless its code arrives.</p>
<form method="post" action="/console/external-button">${formProblem(form)}
${selectField(form, {
  name: 'provider',
  label: 'Platform',
  options: PROVIDER_NAMES.map((name) => [name, PROFILES[name].title]),
  isRequired: true,
})}
${textField(form, { name: 'redirect_uri', label: 'Redirect URI', hint: 'On the public listener of this broker.', type: 'url', isRequired: true })}
${textField(form, { name: 'name', label: 'Name that the account sees' })}
${textField(form, { name: 'description', label: 'Description that the account sees' })}
${textField(form, { name: 'logo', label: 'Logo that the account sees', type: 'url', placeholder: 'https://' })}
${textField(form, { name: 'scopes', label: 'Scopes', hint: 'Separated by blanks. Empty: crm notifications.' })}
${textField(form, { name: 'sandbox_origin', label: 'Sandbox', hint: 'All calls go there and never to the provider.' })}
${lookFields(form)}
<div class="acts"><button class="primary">Make the button</button><a class="button" href="${INTEGRATIONS_PATH}">Back</a></div></form>`,
  }
}

/** Shows the HTML of a button once. */
export function madeButtonView(button: Button) {
  const form = emptyForm({ html: button.html })
  return {
    title: 'The button is made',
    main: html`${card(
      'Put this into your page',
      html`${textArea(form, { name: 'html', label: 'HTML of the button', isRequired: true, rows: 12, isReadOnly: true })}
<p class="muted">It is shown only now, because it holds a secret state. It connects one account, until ${clockTag(button.expiresAt)}.</p>`,
    )}${
      button.secretsUri !== null &&
      card(
        'Keys',
        copyField('secrets-uri', 'The keys of the integration arrive here', button.secretsUri),
      )
    }`,
  }
}

function lookFields(form: Form): Html {
  return html`${textField(form, { name: 'title', label: 'Text on the button', placeholder: 'Connect' })}
${textField(form, { name: 'account', label: 'Account', hint: 'Id, domain or subdomain. Then the button connects no other account.' })}
${selectField(form, {
  name: 'mode',
  label: 'How the consent page returns',
  options: [
    ['popup', 'popup'],
    ['post_message', 'post_message'],
  ],
})}
${textField(form, { name: 'opener_origin', label: 'Origin of the page with the button', hint: 'It gets the result by postMessage.' })}`
}
