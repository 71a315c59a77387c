import type { Integration } from '../../../integrations/integration.ts'
import { type Html, html } from '../../../lib/html.ts'
import { actionForm, formProblem, secretField } from '../fields.ts'
import type { Form } from '../form.ts'
import { badge, card } from '../parts.ts'
import { INTEGRATIONS_PATH } from './list-view.ts'

/** Leads through the change of the client secret. No refresh fails in between. */
export function rotationSteps({ name, hasNextSecret }: Integration, form: Form): Html {
  const action = `${INTEGRATIONS_PATH}/${name}/next-secret`
  const first = html`<li><b>Give the broker the new secret.</b> ${
    hasNextSecret ? badge('good', 'done') : 'It is not used yet.'
  }
<form method="post" action="${action}">${formProblem(form)}
${secretField(form, {
  name: 'next_secret',
  label: hasNextSecret ? 'Another next client secret' : 'Next client secret',
  isRequired: true,
})}<button${!hasNextSecret && html` class="primary"`}>Store it as the next one</button></form></li>`
  const second = html`<li><b>Change the secret at the provider</b>, in the settings of the integration. ${
    hasNextSecret ? badge('warn', 'now') : undefined
  }</li>`
  const third = html`<li><b>Nothing more.</b> When the provider refuses the old secret, the broker uses the new one and keeps the old one as the next, so a change back works as well.</li>`
  const remove =
    hasNextSecret &&
    html`<div class="acts">${actionForm({
      action: `${action}/remove`,
      label: 'Remove the next secret',
      tone: 'danger',
    })}</div>`
  return card(
    'Change the client secret',
    html`<ol class="steps">${[first, second, third]}</ol>${remove}`,
  )
}
