import type { Incident } from './incidents.ts'
import type { MixResult } from './run.ts'
import type { Sli } from './slis.ts'

/** Renders the result of a run: the faults, the unavoidable losses, and every violation. */
export function report({ harness, operator, findings, tookMs, monitored }: MixResult): string {
  const { callers, incidents } = harness
  const { window } = findings
  return [
    '',
    faultTable(incidents.all),
    '',
    lateTable(incidents.all),
    '',
    ...(monitored === undefined ? [] : [sliTable(monitored.slis), '']),
    `${findings.refreshes} refreshes, ${incidents.all.length} faults, ${findings.reads} tokens read, in ${Math.round(tookMs / 1000)} s`,
    `tokens used when promised to live: ${callers.checked}, dead ${count(findings, 'dead')}; killed by the harness before their time: ${callers.earlyDeaths}`,
    `dead tokens handed out after use_until, before a newer one was known: ${findings.deadAfterPromise}`,
    `from arrival to disk: ${window.count} answers, median ${window.medianMs.toFixed(1)} ms, longest ${window.maxMs.toFixed(1)} ms`,
    `sent again by a process that had been frozen: ${findings.frozenSends}`,
    `sent again because a failover had forgotten the send: ${findings.forgottenSends.length}`,
    ...findings.forgottenSends.map((text) => `  ${text}`),
    `resumed by the operator: ${operator.resumed}, breakers closed: ${operator.breakersClosed}`,
    counts('errors of the contract', callers.errorCounts),
    counts('responses lost where no client can avoid it', findings.losses),
    counts('authorized again', operator.lossCounts),
    '',
    `sent again ${count(findings, 'sent again')} · pairs lost ${count(findings, 'pair lost')} · wrongly reauth_required ${count(findings, 'wrong reauth_required')} · dead tokens ${count(findings, 'dead')} · wrong responses ${count(findings, 'response')} · history ${count(findings, 'history')} · other ${others(findings)}`,
    ...findings.violations.map(({ kind, text }) => `VIOLATION ${kind}: ${text}`),
  ].join('\n')
}

const LISTED_KINDS = [
  'sent again',
  'pair lost',
  'wrong reauth_required',
  'dead',
  'response',
  'history',
]

function count({ violations }: MixResult['findings'], kind: string): number {
  return violations.filter((each) => each.kind === kind).length
}

function others({ violations }: MixResult['findings']): number {
  return violations.filter(({ kind }) => !LISTED_KINDS.includes(kind)).length
}

function counts(title: string, numbers: ReadonlyMap<string, number>): string {
  const parts = [...numbers]
    .sort(([, a], [, b]) => b - a)
    .map(([name, times]) => `${name} ${times}`)
  return `${title}: ${parts.join(', ') || 'none'}`
}

/** Renders one line for each fault: its count, its outcomes, and the slowest recovery. */
function faultTable(all: readonly Incident[]): string {
  const names = [...new Set(all.map(({ fault }) => fault))].sort()
  const rows = names.map((name) => {
    const these = all.filter(({ fault }) => fault === name)
    const outcomes = new Map<string, number>()
    for (const { outcome = 'unfinished' } of these) {
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    }
    const slowest = Math.max(0, ...these.map(({ recoveryMs }) => recoveryMs ?? 0))
    const how = [...outcomes].map(([outcome, times]) => `${outcome} ${times}`).join(', ')
    return [name, String(these.length), how, `${(slowest / 1000).toFixed(1)} s`]
  })
  return table(['fault', 'times', 'outcome', 'slowest recovery'], rows)
}

/** Renders one line for each fault after which accounts waited for a send to be settled. */
function lateTable(all: readonly Incident[]): string {
  const names = [...new Set(all.filter(({ lateCount }) => lateCount !== undefined).map(nameOf))]
  const rows = names.sort().map((name) => {
    const these = all.filter(({ fault }) => fault === name)
    const count = these.reduce((sum, { lateCount = 0 }) => sum + lateCount, 0)
    const slowest = Math.max(0, ...these.map(({ slowestLateMs = 0 }) => slowestLateMs))
    return [name, String(count), `${(slowest / 1000).toFixed(1)} s`]
  })
  return table(['fault', 'accounts with an unsettled send', 'slowest of them'], rows)
}

/** Renders the comparison of the SLIs with the counts of the harness. */
function sliTable(slis: readonly Sli[]): string {
  const rows = slis.map(({ name, judge, prometheus, least, most, isEqual }) => [
    name,
    show(judge),
    show(prometheus),
    `${show(least)} to ${show(most)}`,
    isEqual ? 'equal' : 'DIFFERS',
  ])
  return table(['indicator', 'judge', 'Prometheus', 'allowed', ''], rows)
}

function show(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toPrecision(4)
}

function nameOf({ fault }: Incident): string {
  return fault
}

export function table(head: string[], rows: string[][]): string {
  const lines = [head, ...rows]
  const widths = head.map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  )
  const show = (line: string[]) =>
    `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`
  return [show(head), rule, ...rows.map(show)].join('\n')
}
