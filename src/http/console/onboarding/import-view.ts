import type { Integration } from '../../../integrations/integration.ts'
import { type Html, html, trustedHtml } from '../../../lib/html.ts'
import type { LineReport } from '../../../onboarding/import-lines.ts'
import { checkbox, fileField, formProblem, selectField, textArea } from '../fields.ts'
import type { Form } from '../form.ts'
import { badge, type Tone } from '../parts.ts'
import { integrationOptions, needsIntegration } from './link-form.ts'
import { ONBOARDING_PATH } from './overview-view.ts'

/** Placeholder for the rows of the report while the page around them is rendered. */
export const REPORT_MARK = '<!-- rows -->'

const TONES: Record<LineReport['result'], Tone> = {
  imported: 'good',
  replaced: 'good',
  'already there': 'neutral',
  'not replaced': 'warn',
  failed: 'bad',
}

/** The form for a file of pairs. */
export function importView(form: Form, integrations: Integration[]) {
  const main = html`<p>A CSV file whose first line names the columns <code>integration</code>, <code>domain</code>, <code>access_token</code>, <code>refresh_token</code>, or the same as JSON. Without a refresh token it is a long-lived token. The provider is asked about every pair, and nothing is spent. The same file can be imported again.</p>
<form method="post" action="${ONBOARDING_PATH}/import" enctype="multipart/form-data">${formProblem(form)}
${fileField(form, { name: 'file', label: 'File', accept: '.csv,.json,.jsonl,.txt' })}
${textArea(form, {
  name: 'pairs',
  label: 'Or its content',
  hint: 'It is not shown again.',
})}
${selectField(form, {
  name: 'integration',
  label: 'Integration of lines that name none',
  options: [['', '(every line names its own)'], ...integrationOptions(integrations)],
})}
${checkbox(form, {
  name: 'shadow',
  label: 'Shadow',
  hint: 'Serve the pairs and do not refresh them, while another service still does.',
})}
${checkbox(form, {
  name: 'replace',
  label: 'Replace',
  hint: 'Replace a different pair of an account that the broker has already.',
})}
<div class="acts"><button class="primary">Import</button><a class="button" href="${ONBOARDING_PATH}">Onboarding</a></div></form>`
  const title = 'Import token pairs'
  return { title, main: integrations.length === 0 ? needsIntegration() : main }
}

/** The page around the report. */
export function reportView(lines: number) {
  const main = html`<p class="muted">Each line appears when it is done, two in a second. Leaving the page stops after the present line; the file can be imported again.</p>
<table class="stack" aria-label="Report"><thead><tr><th scope="col">Of the file</th><th scope="col">Account</th><th scope="col">What became of it</th></tr></thead><tbody>${trustedHtml(REPORT_MARK)}</tbody></table>
<div class="acts"><a class="button" href="${ONBOARDING_PATH}/import">Import another file</a><a class="button" href="/console/accounts">Accounts</a></div>`
  return { title: lines === 1 ? 'Import of one line' : `Import of ${lines} lines`, main }
}

export function lineRow({
  line,
  integration,
  domain,
  result,
  account,
  problem,
  remedy,
}: LineReport): Html {
  const name =
    account === undefined
      ? domain || 'no domain'
      : html`<a href="/console/accounts/${integration}/${account}">${domain}</a>`
  return html`<tr><th scope="row">Line ${line}</th><td>${name}<br><small>${integration || 'no integration'}</small></td>
<td>${badge(TONES[result], result)} ${problem} ${remedy}</td></tr>
`
}

export function summaryRow(counts: ReadonlyMap<string, number>): Html {
  const parts = [...counts].map(([result, lines]) => `${lines} ${result}`)
  return html`<tr><th scope="row">Done</th><td></td><td role="status">${parts.join(', ')}.</td></tr>`
}
