import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import type { Scope } from '../../support/scope.ts'
import { type StageOptions, setStage } from '../set-up.ts'
import type { Stage } from '../stage.ts'

export interface ScenarioRun {
  scope: Scope
  seed: number
  signal: AbortSignal
  log: (line: string) => void
}

/** What a scenario came to: `violations` must be empty. */
export interface Outcome {
  /** One line, for the table. */
  result: string
  violations: string[]
}

export interface Scenario {
  name: string
  /** What must hold, for the table. */
  promise: string
  run(run: ScenarioRun): Promise<Outcome>
}

export type StageSize = Partial<
  Pick<
    StageOptions,
    'accounts' | 'integrations' | 'replicas' | 'lifetime' | 'pacePerSecond' | 'databaseUrl'
  >
>

/** A stage for one scenario. Its callers' violations go to `violations`. */
export async function scenarioStage(
  { scope, seed, signal, log }: ScenarioRun,
  size: StageSize,
  violations: string[],
): Promise<Stage> {
  const stage = await setStage(scope, {
    accounts: 100,
    integrations: 1,
    replicas: 3,
    lifetime: 3_600,
    pacePerSecond: 100,
    ...size,
    seed,
    signal,
    log,
    violation: (kind, text) => violations.push(`${kind}: ${text}`),
  })
  return stage
}

export async function startAll(stage: Stage): Promise<void> {
  await Promise.all(stage.replicas.map((replica) => replica.start()))
}

/** Everybody's rotation is due at this moment. Nobody may hold a promise: there are no callers yet. */
export async function makeAllDue({ vault }: Stage): Promise<void> {
  await sql`
    update amo_tokens set "refreshAt" = now(), "nextAttemptAt" = now() - random() * interval '1 minute',
      "failedAttempts" = 0`.execute(vault.db)
}

/** False when it is not so within the limit. */
export async function until(
  condition: () => Promise<boolean> | boolean,
  limitMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const endMs = Date.now() + limitMs
  while (Date.now() < endMs && !signal.aborted) {
    if (await condition()) return true
    await delay(200)
  }
  return condition()
}

export async function countByStatus({ vault }: Pick<Stage, 'vault'>): Promise<Map<string, number>> {
  const { rows } = await sql<{ status: string; count: number }>`
    select status, count(*) from amo_tokens group by status`.execute(vault.db)
  return new Map(rows.map(({ status, count }) => [status, count]))
}
