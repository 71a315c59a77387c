import type { DoctorReport } from '../../../doctor/reports.ts'
import { type Html, html } from '../../../lib/html.ts'
import { actionForm } from '../fields.ts'
import { badge, card, emptyState, stackTable } from '../parts.ts'
import { timeTag } from '../times.ts'

type Findings = DoctorReport['findings']

const BADGES = {
  fail: () => badge('bad', 'fails'),
  warn: () => badge('warn', 'risk'),
  ok: () => badge('good', 'ok'),
}

/** Returns the result as a sentence. */
export function doctorTitle(report: DoctorReport | undefined): string {
  if (report === undefined || report.endedAt === null) return 'The doctor examines this replica'
  const fails = report.findings.filter(({ verdict }) => verdict === 'fail').length
  const warns = report.findings.filter(({ verdict }) => verdict === 'warn').length
  if (fails > 0) return fails === 1 ? 'One thing does not work' : `${fails} things do not work`
  if (warns > 0)
    return warns === 1 ? 'Everything works, with one risk' : `Everything works, with ${warns} risks`
  return 'Everything works'
}

/** Shows failures first, then risks, then what is well. */
export function doctorView(report: DoctorReport | undefined, mayStart: boolean): Html {
  const again = mayStart && actionForm({ action: '/console/doctor', label: 'Examine again' })
  if (report === undefined) return html`${again}`
  const { findings, startedAt, endedAt } = report
  const time = html`<p class="muted">${endedAt === null ? html`Started ${timeTag(startedAt)}. Findings appear as they are made.` : html`Examined ${timeTag(endedAt)}, on the replica that answers this page.`}
It changes nothing and spends nothing. <code>amo-broker doctor</code> prints the same.</p>`
  const problems = findings.filter(({ verdict }) => verdict !== 'ok')
  const well = findings.filter(({ verdict }) => verdict === 'ok')
  return html`${time}${problems.length > 0 && card('What to do', table('What to do', order(problems)))}
${card('What is well', well.length === 0 ? emptyState('Nothing so far.') : table('What is well', well))}
${endedAt !== null && again}`
}

function order(findings: Findings): Findings {
  const rank = { fail: 0, warn: 1, ok: 2 }
  return findings.toSorted((a, b) => rank[a.verdict] - rank[b.verdict])
}

function table(label: string, findings: Findings): Html {
  const rows = findings.map(({ verdict, area, found, remedy }) => [
    area,
    BADGES[verdict](),
    html`${found}${remedy !== undefined && html`<br><small>${remedy}</small>`}`,
  ])
  return stackTable(label, ['Area', '', 'Finding'], rows)
}
