import type { Incident } from './incidents.ts'
import type { MixResult } from './run.ts'

/** What a run came to, for people: the faults, what was lost where nobody can help it, and every violation. */
export function report({ stage, operator, verdict, tookMs }: MixResult): string {
  const { callers, incidents } = stage
  const { window } = verdict
  return [
    '',
    faultTable(incidents.all),
    '',
    `${verdict.refreshes} refreshes, ${incidents.all.length} faults, ${verdict.reads} tokens read, in ${Math.round(tookMs / 1000)} s`,
    `tokens used when promised to live: ${callers.checked}, dead ${count(verdict, 'dead')}; killed by the harness before their time: ${callers.earlyDeaths}`,
    `dead tokens handed out after use_until, before a newer one was known: ${verdict.deadAfterPromise}`,
    `from arrival to disk: ${window.count} answers, median ${window.medianMs.toFixed(1)} ms, longest ${window.maxMs.toFixed(1)} ms`,
    `sent again by a process that had been frozen: ${verdict.frozenSends}`,
    `resumed by the operator: ${operator.resumed}, breakers closed: ${operator.breakersClosed}`,
    counts('errors of the contract', callers.errorCounts),
    counts('answers lost where no client can avoid it', verdict.losses),
    counts('authorized again', operator.lossCounts),
    '',
    `sent again ${count(verdict, 'sent again')} · pairs lost ${count(verdict, 'pair lost')} · condemned wrongly ${count(verdict, 'condemned')} · dead tokens ${count(verdict, 'dead')} · wrong answers ${count(verdict, 'answer')} · other ${others(verdict)}`,
    ...verdict.violations.map(({ kind, text }) => `VIOLATION ${kind}: ${text}`),
  ].join('\n')
}

const JUDGED = ['sent again', 'pair lost', 'condemned', 'dead', 'answer']

function count({ violations }: MixResult['verdict'], kind: string): number {
  return violations.filter((each) => each.kind === kind).length
}

function others({ violations }: MixResult['verdict']): number {
  return violations.filter(({ kind }) => !JUDGED.includes(kind)).length
}

function counts(title: string, numbers: ReadonlyMap<string, number>): string {
  const parts = [...numbers]
    .sort(([, a], [, b]) => b - a)
    .map(([name, times]) => `${name} ${times}`)
  return `${title}: ${parts.join(', ') || 'none'}`
}

/** A line a fault: how often, how it ended, and the slowest recovery. */
export function faultTable(all: readonly Incident[]): string {
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
