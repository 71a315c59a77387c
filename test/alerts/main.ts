import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { readRuleGroups } from '../support/alert-rules.ts'
import { until } from '../support/broker.ts'
import { type Prometheus, speedUp, startPrometheus } from '../support/prometheus.ts'
import { findServices } from '../support/services.ts'
import { withTeardown } from '../support/teardown-scope.ts'
import { underLoad } from '../support/under-load.ts'
import { type Fault, STEPS } from './faults.ts'
import { type FaultStage, startStage } from './stage.ts'
import { AlertWatch } from './watch.ts'

const help = `Usage: npm run alerts -- [options]

Starts a broker, the sandbox, PostgreSQL and Redis behind proxies, and a real
Prometheus with the rules of deploy/monitoring, in which every duration is
divided by 60. Injects a fault for each alert, measures when the alert fires,
and prints a table. Exits with 0 when each fired in time, and none before the
first fault. Takes about seven minutes.

  --only <text>  only the steps that have an alert whose name contains this
  --help`

/** A rule of fifteen minutes is tried in fifteen seconds. */
const FACTOR = 60
const SCRAPE_MS = 1_000
/**
 * For what is not shortened: the broker's own intervals and limits of up to ten seconds, scrapes
 * and evaluations of a second each. Longer on a loaded machine.
 */
const ALLOWED_MS = 20_000
/** Alerts fire at most this long after a fault, because they look back: an hour, shortened. */
const SILENT_LIMIT_MS = 90_000
const POLL_MS = 250
const SETTLE_MS = 10_000

const rules = readRuleGroups().flatMap((group) => group.rules)
const { values } = parseArgs({
  options: { only: { type: 'string', default: '' }, help: { type: 'boolean', default: false } },
})

if (values.help) console.log(help)
else process.exitCode = await main(values.only)

async function main(only: string): Promise<number> {
  await using stack = new AsyncDisposableStack()
  const services = await findServices({ log: console.log })
  stack.defer(() => services.stop())
  process.env.TEST_DATABASE_URL = services.databaseUrl
  process.env.TEST_REDIS_URL = services.redisUrl
  const steps = STEPS.filter((step) => step.some(({ alert }) => alert.includes(only)))
  const rows = await withTeardown(async (scope) => {
    const stage = await startStage(scope)
    const prometheus = await startPrometheus(scope, [stage.broker.url], {
      factor: FACTOR,
      scrapeMs: SCRAPE_MS,
      key: stage.monitorKey,
    })
    const watch = new AlertWatch(prometheus, POLL_MS)
    scope.teardown(() => watch.stop())
    const rows = [await beforeAll(prometheus, watch)]
    for (const step of steps) rows.push(...(await runStep(step, stage, watch)))
    return rows
  })
  console.log(`\n| fault | alert | \`for\` | here | fired after | |\n|---|---|---|---|---|---|`)
  for (const { cells } of rows) console.log(`| ${cells.join(' | ')} |`)
  const failed = rows.filter(({ isGood }) => !isGood)
  console.log(failed.length === 0 ? '\nall in time' : `\n${failed.length} not in time`)
  return failed.length === 0 ? 0 : 1
}

interface TableRow {
  cells: string[]
  isGood: boolean
}

/** Nothing may fire while nothing is wrong. */
async function beforeAll(prometheus: Prometheus, watch: AlertWatch): Promise<TableRow> {
  await until(async () => (await prometheus.query('up'))[0]?.value === 1)
  await delay(SETTLE_MS)
  const fired = [...watch.now].join(', ')
  const end = fired === '' ? 'ok' : `FIRED: ${fired}`
  return { cells: ['none', 'none', '', '', '', end], isGood: fired === '' }
}

async function runStep(step: Fault[], stage: FaultStage, watch: AlertWatch): Promise<TableRow[]> {
  await untilSilent(step, watch)
  watch.reset()
  const injected: { fault: Fault; atMs: number }[] = []
  for (const fault of step) {
    injected.push({ fault, atMs: Date.now() })
    await fault.inject(stage)
  }
  const injectedMs = Date.now()
  const isOver = () =>
    step.every(
      (fault) => watch.firedAt(fault) !== undefined || Date.now() - injectedMs > limitMs(fault),
    )
  while (!isOver()) await delay(POLL_MS)
  const rows = injected.map(({ fault, atMs }) => rowOf(fault, atMs, watch.firedAt(fault)))
  for (const { cells } of rows) console.log(cells.join(' · '))
  for (const { heal } of step) await heal?.(stage)
  return rows
}

/** Alerts that look back still fire because of an earlier step. */
async function untilSilent(step: Fault[], watch: AlertWatch): Promise<void> {
  const endMs = Date.now() + SILENT_LIMIT_MS
  while (step.some((fault) => watch.fires(fault)) && Date.now() < endMs) await delay(POLL_MS)
}

/** How long the rule waits once its condition holds, as shipped. */
function waitOf({ alert }: Fault): string {
  const { for: wait, expr = '' } = rules.find((rule) => rule.alert === alert) ?? {}
  return wait ?? /min_over_time\(.*\[(\w+):/.exec(expr)?.[1] ?? '0s'
}

function shortenedMs(fault: Fault): number {
  const [, ms] = /\[(\d+)ms\]/.exec(speedUp(`[${waitOf(fault)}]`, FACTOR)) ?? []
  return Number(ms ?? 0)
}

function limitMs(fault: Fault): number {
  return shortenedMs(fault) + underLoad(ALLOWED_MS)
}

function rowOf(fault: Fault, atMs: number, firedMs: number | undefined): TableRow {
  const here = `${shortenedMs(fault) / 1000} s`
  const tookMs = firedMs === undefined ? undefined : firedMs - atMs
  const isGood = tookMs !== undefined && tookMs >= 0
  const took = tookMs === undefined ? 'never' : `${(tookMs / 1000).toFixed(1)} s`
  const end = isGood ? 'in time' : 'NOT IN TIME'
  return { cells: [fault.what, `\`${fault.alert}\``, waitOf(fault), here, took, end], isGood }
}
