import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'yaml'

const ROOT = join(import.meta.dirname, '../..')
/** Where the alerts, their tests and the dashboard are. */
export const MONITORING = join(ROOT, 'deploy/monitoring')
const RECORDED = /\bamo:[\w:]+/g
/** A metric or a label: what is followed by a bracket or an operator decides. */
const WORD = /\b(?:amo|process|nodejs)_\w+|\bup\b/g
const PARTS_OF_A_HISTOGRAM = /_(?:bucket|sum|count)$/

/** A rule of a rule file of Prometheus. */
interface Rule {
  alert?: string
  record?: string
  expr: string
  for?: string
  labels?: Record<string, string>
  annotations?: { summary: string; runbook: string }
}

export interface RuleGroup {
  name: string
  interval?: string
  rules: Rule[]
}

export interface Panel {
  title: string
  targets: { expr: string; legendFormat: string }[]
}

/** Returns the groups of rules of `deploy/monitoring/alerts.yaml`. */
export function readRuleGroups(): RuleGroup[] {
  return parse(readFileSync(join(MONITORING, 'alerts.yaml'), 'utf8')).groups
}

/** Returns the panels of the dashboard that show something. */
export function readPanels(): Panel[] {
  const { panels } = JSON.parse(readFileSync(join(MONITORING, 'grafana-dashboard.json'), 'utf8'))
  return panels.filter(({ type }: { type: string }) => type !== 'row')
}

/** Replaces what Grafana replaces in a query. */
export function fillIn(query: string, range = '1h', interval = '5m'): string {
  return query
    .replaceAll('$__range', range)
    .replaceAll('$__rate_interval', interval)
    .replaceAll('$integration', '.*')
}

/** Returns the names of the metrics that a query uses, without the parts of histograms. */
export function metricsIn(query: string): string[] {
  const names = query.match(WORD) ?? []
  return names.map((name) => name.replace(PARTS_OF_A_HISTOGRAM, ''))
}

/** Returns the names of recorded series that a query uses. */
export function recordedIn(query: string): string[] {
  return query.match(RECORDED) ?? []
}

/** Returns whether promtool is installed. */
export function hasPromtool(): boolean {
  return spawnSync('promtool', ['--version']).status === 0
}

/** Runs promtool in the folder of the rules. Returns its output. Throws when it fails. */
export function promtool(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('promtool', args, {
    cwd: MONITORING,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`${stdout}${stderr}`)
  return stdout
}

/** Checks queries as if they were rules. Throws when one is no PromQL. */
export function checkQueries(queries: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'amo-rules-'))
  const rules = queries.map((expr, nth) => ({ record: `query:${nth}`, expr }))
  const file = join(folder, 'queries.yaml')
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'queries', rules }] }))
  try {
    return promtool('check', 'rules', file)
  } finally {
    rmSync(folder, { recursive: true })
  }
}
