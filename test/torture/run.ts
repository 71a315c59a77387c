import { setTimeout as delay } from 'node:timers/promises'
import type { Scope } from '../support/scope.ts'
import { judge, type Verdict } from './judge.ts'
import { type LaneOptions, runLanes } from './lanes.ts'
import { Operator } from './operator.ts'
import { heal, quiesce } from './quiesce.ts'
import { setStage } from './set-up.ts'
import type { Stage } from './stage.ts'

export interface MixOptions extends LaneOptions {
  seed: number
  /** How long faults are injected; with `isOnce` as long as it takes. */
  minutes: number
  accounts: number
  lifetime: number
  callers: number
  signal: AbortSignal
  log: (line: string) => void
}

export interface MixResult {
  stage: Stage
  operator: Operator
  verdict: Verdict
  tookMs: number
}

/** Refreshes a second and integration: the pace is not what is tried here. */
const PACE = 100
const REPLICAS = 3
const INTEGRATIONS = 8
const PROGRESS_MS = 5_000
/** Beyond the recovery of any fault. */
const BACKGROUND_LIMIT_MS = 200_000

/** The random mix of all faults, and the verdict on it. */
export async function runMix(scope: Scope, options: MixOptions): Promise<MixResult> {
  const beganMs = Date.now()
  const { seed, log } = options
  const violations: Verdict['violations'] = []
  const ending = new AbortController()
  const signal = AbortSignal.any([options.signal, ending.signal])
  const stage = await setStage(scope, {
    ...options,
    signal,
    integrations: INTEGRATIONS,
    replicas: REPLICAS,
    pacePerSecond: PACE,
    violation(kind, text) {
      violations.push({ kind, text })
      log(`VIOLATION ${kind}: ${text}`)
    },
  })
  await Promise.all(stage.replicas.map((replica) => replica.start()))
  await stage.pulse.start()
  scope.teardown(() => stage.pulse.stop())
  const operator = new Operator(stage)
  operator.start()
  scope.teardown(() => operator.stop())
  stage.callers.start(options.callers)
  scope.teardown(() => stage.callers.stop())
  const progress = setInterval(
    () => log(progressLine(stage, beganMs, violations.length)),
    PROGRESS_MS,
  )
  scope.teardown(() => clearInterval(progress))

  const lanes = runLanes(stage, seed, options)
  if (options.isOnce) await lanes
  else await delay(options.minutes * 60_000, undefined, { signal: options.signal }).catch(() => {})
  ending.abort()
  options.signal.throwIfAborted()
  await lanes
  log('faults are over: healing, and waiting for what is unfinished')
  await heal(stage)
  log(`${stage.background.size} recoveries are still followed`)
  await settleBackground(stage, options.signal)
  await heal(stage)
  const left = await quiesce(stage, operator, options.signal)
  options.signal.throwIfAborted()
  await operator.stop()
  await stage.callers.stop()
  await Promise.all(stage.replicas.map((replica) => replica.terminate()))
  clearInterval(progress)
  const verdict = await judge(stage)
  verdict.violations.push(...violations, ...left.map((text) => ({ kind: 'unfinished', text })))
  return { stage, operator, verdict, tookMs: Date.now() - beganMs }
}

async function settleBackground({ background }: Stage, signal: AbortSignal): Promise<void> {
  const endMs = Date.now() + BACKGROUND_LIMIT_MS
  while (!signal.aborted && background.size > 0 && Date.now() < endMs) {
    await Promise.race([Promise.allSettled(background), delay(1_000)])
  }
}

function progressLine(stage: Stage, beganMs: number, violations: number): string {
  const seconds = Math.round((Date.now() - beganMs) / 1000)
  const { books } = stage.sandbox.world
  const up = stage.replicas
    .map(({ name, isUp, isStopped }) =>
      isUp ? name : isStopped ? `${name} stopped` : `${name} down`,
    )
    .join(', ')
  return (
    `${String(seconds).padStart(4)} s  ${books.totals.refreshes} refreshes, ` +
    `${stage.incidents.all.length} faults, ${stage.callers.reads.length} reads, ` +
    `${violations} violations  (${up})`
  )
}
