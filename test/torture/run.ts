import { setTimeout as delay } from 'node:timers/promises'
import type { TeardownScope } from '../support/teardown-scope.ts'
import { checkRun, type RunFindings } from './check-run.ts'
import type { Harness } from './harness.ts'
import { type LaneOptions, runLanes } from './lanes.ts'
import { Monitor } from './monitor.ts'
import { openHarness } from './open-harness.ts'
import { Operator } from './operator.ts'
import { unpackVersion } from './other-version.ts'
import { PostgresCluster } from './postgres-cluster.ts'
import { heal, quiesce } from './quiesce.ts'
import type { Sli } from './slis.ts'

export interface MixOptions extends LaneOptions {
  seed: number
  /** How long faults are injected. With `isOnce` it has no effect. */
  minutes: number
  /** A tag or commit that the first replica runs. Undefined: all run this version. */
  version?: string | undefined
  accounts: number
  lifetime: number
  callers: number
  /** Scrapes the replicas with a real Prometheus, and compares its SLIs with the own counts. */
  isMonitored?: boolean
  signal: AbortSignal
  log: (line: string) => void
}

export interface MixResult {
  harness: Harness
  operator: Operator
  findings: RunFindings
  tookMs: number
  /** Undefined: the run was not monitored. */
  monitored: { slis: Sli[]; picture: string } | undefined
}

/** Refreshes per second and integration. High, because this run does not test the pace. */
const PACE = 100
const REPLICAS = 3
const INTEGRATIONS = 8
const PROGRESS_MS = 5_000
const BUSY_SERVED_LIMIT_MS = 60_000
/** Longer than the recovery from any fault. */
const BACKGROUND_LIMIT_MS = 200_000

/** Runs the random mix of all faults, and checks its result. */
export async function runMix(scope: TeardownScope, options: MixOptions): Promise<MixResult> {
  const beganMs = Date.now()
  const { seed, log } = options
  const violations: RunFindings['violations'] = []
  const ending = new AbortController()
  const signal = AbortSignal.any([options.signal, ending.signal])
  const { version } = options
  const program = version && (await unpackVersion(scope, version, log))
  const harness = await openHarness(scope, {
    ...options,
    cluster: await PostgresCluster.start(scope),
    ...(program ? { firstProgram: program } : {}),
    // The short form runs beside other tests.
    ...(options.isShort ? { servedLimitMs: BUSY_SERVED_LIMIT_MS } : {}),
    signal,
    integrations: INTEGRATIONS,
    replicas: REPLICAS,
    pacePerSecond: PACE,
    violation(kind, text) {
      violations.push({ kind, text })
      log(`VIOLATION ${kind}: ${text}`)
    },
  })
  await Promise.all(harness.replicas.map((replica) => replica.start()))
  const monitor = options.isMonitored ? await Monitor.start(scope, harness) : undefined
  await harness.pulse.start()
  scope.teardown(() => harness.pulse.stop())
  const operator = new Operator(harness)
  operator.start()
  scope.teardown(() => operator.stop())
  harness.callers.start(options.callers)
  scope.teardown(() => harness.callers.stop())
  const progress = setInterval(
    () => log(progressLine(harness, beganMs, violations.length)),
    PROGRESS_MS,
  )
  scope.teardown(() => clearInterval(progress))

  const lanes = runLanes(harness, seed, options)
  if (options.isOnce) await lanes
  else await delay(options.minutes * 60_000, undefined, { signal: options.signal }).catch(() => {})
  ending.abort()
  options.signal.throwIfAborted()
  await lanes
  log('faults are over: healing, and waiting for what is unfinished')
  await heal(harness)
  log(`${harness.background.size} recoveries are still followed`)
  await settleBackground(harness, options.signal)
  await heal(harness)
  const left = await quiesce(harness, operator, options.signal)
  options.signal.throwIfAborted()
  await operator.stop()
  await harness.callers.stop()
  const monitored = monitor && { slis: await monitor.compare(), picture: await monitor.draw() }
  await Promise.all(harness.replicas.map((replica) => replica.terminate()))
  clearInterval(progress)
  const findings = await checkRun(harness)
  findings.violations.push(...violations, ...left.map((text) => ({ kind: 'unfinished', text })))
  for (const { name, isEqual } of monitored?.slis ?? []) {
    if (!isEqual) findings.violations.push({ kind: 'sli', text: `${name}: see the table` })
  }
  return { harness, operator, findings, tookMs: Date.now() - beganMs, monitored }
}

async function settleBackground({ background }: Harness, signal: AbortSignal): Promise<void> {
  const endMs = Date.now() + BACKGROUND_LIMIT_MS
  while (!signal.aborted && background.size > 0 && Date.now() < endMs) {
    await Promise.race([Promise.allSettled(background), delay(1_000)])
  }
}

function progressLine(harness: Harness, beganMs: number, violations: number): string {
  const seconds = Math.round((Date.now() - beganMs) / 1000)
  const { books } = harness.sandbox.world
  const up = harness.replicas
    .map(({ name, isUp, isStopped }) =>
      isUp ? name : isStopped ? `${name} stopped` : `${name} down`,
    )
    .join(', ')
  return (
    `${String(seconds).padStart(4)} s  ${books.totals.refreshes} refreshes, ` +
    `${harness.incidents.all.length} faults, ${harness.callers.reads.length} reads, ` +
    `${violations} violations  (${up})`
  )
}
