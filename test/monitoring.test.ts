import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse, stringify } from 'yaml'
import { STEPS } from './alerts/faults.ts'
import {
  checkQueries,
  fillIn,
  hasPromtool,
  MONITORING,
  metricsIn,
  promtool,
  readPanels,
  readRuleGroups,
  recordedIn,
} from './support/alert-rules.ts'
import { anchorsOf, codeSpansOf, rowsOf, sectionOf } from './support/markdown.ts'

const ROOT = join(import.meta.dirname, '..')
const KUBERNETES = join(ROOT, 'deploy/kubernetes/monitoring/rules.yaml')
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')
const noPromtool = !hasPromtool() && 'promtool is not installed'

const groups = readRuleGroups()
const rules = groups.flatMap((group) => group.rules)
const alerts = rules.flatMap(({ alert, ...rule }) =>
  alert === undefined ? [] : [{ alert, ...rule }],
)
const queries = [
  ...rules.map(({ expr }) => expr),
  ...readPanels().flatMap(({ targets }) => targets.map(({ expr }) => expr)),
]
const operations = read('docs/operations.md')
const documented = rowsOf(sectionOf(operations, 'Metrics')).map(([name = '']) =>
  name.replaceAll('`', ''),
)

t.test(
  'alerts: each fires on its fault and is silent otherwise',
  { skip: noPromtool },
  async (t) => {
    t.match(promtool('check', 'rules', 'alerts.yaml'), /SUCCESS/)
    t.match(promtool('test', 'rules', 'alerts.test.yaml'), /SUCCESS/)
  },
)

t.test('alerts: each has a unit test, and a heading in the runbook', async (t) => {
  const tests = readFileSync(join(MONITORING, 'alerts.test.yaml'), 'utf8')
  const headings = [...sectionOf(operations, 'Alerts').matchAll(/^### (\w+)$/gm)]
  t.same(
    headings.map(([, name]) => name),
    alerts.map(({ alert }) => alert),
    'the headings of docs/operations.md, in the order of the file',
  )
  for (const { alert, annotations, labels } of alerts) {
    t.match(
      tests,
      `{ labels: '{alertname="${alert}"}', value: 1 }`,
      `${alert}: a test that it fires`,
    )
    const [file = '', anchor = ''] = annotations?.runbook.split('#') ?? []
    t.ok(anchorsOf(read(file)).includes(anchor), `${alert}: ${annotations?.runbook}`)
    t.ok(['critical', 'warning'].includes(labels?.severity ?? ''), `${alert}: severity`)
  }
  t.ok(alerts.length > 20)
})

t.test('runbook: each alert has its severity, what does not work, and what to do', async (t) => {
  for (const { alert, labels } of alerts) {
    const text = sectionOf(operations, alert)
    t.match(text, labels?.severity === 'critical' ? /^Critical\. /m : /^Warning\. /m, alert)
    t.match(text, /^\*\*Now:\*\* /m, alert)
    t.match(text, /^\*\*Do:\*\*/m, alert)
  }
})

t.test('alerts: npm run alerts injects a fault for each', async (t) => {
  const tried = STEPS.flat().map(({ alert }) => alert)
  t.same(tried.toSorted(), alerts.map(({ alert }) => alert).toSorted())
})

t.test('objectives: each is documented, recorded, and alerted on', async (t) => {
  const rows = rowsOf(sectionOf(operations, 'Objectives'))
  const names = rows.map(([name = '']) => codeSpansOf(name)[0])
  const recorded = rules.filter(({ record }) => record?.startsWith('amo:slo_errors'))
  t.same([...new Set(recorded.map(({ labels }) => labels?.slo))], names)
  const budgets = rules.filter(({ record }) => record === 'amo:slo_budget:ratio')
  for (const { labels, expr } of budgets) {
    const target = rows.find(([name]) => name?.includes(`\`${labels?.slo}\``))?.[1] ?? ''
    const percent = 100 - 100 * Number(/vector\((.+)\)/.exec(expr)?.[1])
    t.ok(target.startsWith(`${percent} %`), `${labels?.slo}: ${target}`)
  }
  const alerted = alerts.flatMap(({ expr }) => recordedIn(expr))
  const windows = new Set(recorded.flatMap(({ record }) => record ?? []))
  for (const name of windows) t.ok(alerted.includes(name), `${name} is alerted on`)
})

t.test('alerts and dashboard: every metric exists, and every metric is shown', async (t) => {
  const recorded = new Set(rules.map(({ record }) => record))
  for (const name of queries.flatMap(recordedIn)) t.ok(recorded.has(name), name)
  const known = [...documented, 'up']
  const used = queries.flatMap(metricsIn)
  const own = used.filter((name) => !/^(process|nodejs)_/.test(name))
  for (const name of new Set(own)) t.ok(known.includes(name), `${name} is documented`)
  const shown = new Set(
    readPanels().flatMap(({ targets }) => targets.flatMap(({ expr }) => metricsIn(expr))),
  )
  const hidden = codeSpansOf(
    /^Not on the dashboard: (.+?)\.$/ms.exec(sectionOf(operations, 'Metrics'))?.[1] ?? '',
  )
  for (const name of documented) {
    t.not(
      shown.has(name),
      hidden.includes(name),
      `${name}: on the dashboard, or named as not on it`,
    )
  }
})

t.test('dashboard: every query is PromQL', { skip: noPromtool }, async (t) => {
  const all = queries.map((query) => fillIn(query))
  t.match(checkQueries(all), `${all.length} rules found`)
  t.throws(() => checkQueries(['sum by (']), /could not parse/)
})

t.test('kubernetes: the rules are those of deploy/monitoring/alerts.yaml', async (t) => {
  const text = readFileSync(KUBERNETES, 'utf8')
  const resource = parse(text)
  if (process.env.WRITE_RULES) {
    const [head = ''] = text.split('  groups:\n')
    const body = stringify({ groups }, { lineWidth: 0 }).replaceAll(/^(?=.)/gm, '  ')
    writeFileSync(KUBERNETES, head + body)
  }
  t.same(resource.spec.groups, groups, 'else: WRITE_RULES=1 npm test -- test/monitoring.test.ts')
})
