import { type Html, html } from '../../../lib/html.ts'
import { card } from '../parts.ts'

/** Leads to the form for a button that creates integrations. */
export function externalButtonLink(): Html {
  return card(
    'An integration per account',
    html`<p>A button can create the integration in the account of the person who presses it.</p>
<div class="acts"><a class="button" href="/console/external-button">Make such a button</a></div>`,
  )
}
