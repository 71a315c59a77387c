import { html } from '../../../lib/html.ts'
import { actionForm } from '../fields.ts'
import { band, card } from '../parts.ts'
import { INTEGRATIONS_PATH } from './list-view.ts'

/** Asks before an integration is removed. `problem`: why it was refused. */
export function removalView(name: string, problem?: string) {
  return {
    title: `Remove ${name}?`,
    main: html`${problem !== undefined && band('bad', problem, html`Remove its <a href="/console/accounts?integration=${name}">accounts</a> first.`)}
${card(
  'What is removed',
  html`<ul><li>The integration with its client secrets</li><li>Its connect links</li><li>The grants of clients for it</li></ul>`,
)}
${card(
  'What remains',
  html`<ul><li>The integration at the provider</li><li>Settings in the environment (AMO_…, KOMMO_…): the next start creates it again</li><li>The audit, and its onboardings without their codes</li></ul>`,
)}
<div class="acts">${actionForm({
      action: `${INTEGRATIONS_PATH}/${name}/remove`,
      label: `Remove ${name}`,
      tone: 'danger',
    })}<a class="button" href="${INTEGRATIONS_PATH}/${name}">Keep it</a></div>`,
  }
}
