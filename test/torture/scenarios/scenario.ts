import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import type { TeardownScope } from '../../support/teardown-scope.ts'
import type { Harness } from '../harness.ts'
import { type HarnessOptions, openHarness } from '../open-harness.ts'

export interface ScenarioRun {
  scope: TeardownScope
  seed: number
  signal: AbortSignal
  log: (line: string) => void
}

/** The result of a scenario. `violations` must be empty. */
interface Outcome {
  /** One line for the table. */
  result: string
  violations: string[]
}

export interface Scenario {
  name: string
  /** The promise that must hold, for the table. */
  promise: string
  run(run: ScenarioRun): Promise<Outcome>
}

export type StageSize = Partial<
  Pick<
    HarnessOptions,
    'accounts' | 'integrations' | 'replicas' | 'lifetime' | 'pacePerSecond' | 'databaseUrl'
  >
>

/** Opens a harness for one scenario. Violations that its callers find go to `violations`. */
export async function scenarioStage(
  { scope, seed, signal, log }: ScenarioRun,
  size: StageSize,
  violations: string[],
): Promise<Harness> {
  const harness = await openHarness(scope, {
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
  return harness
}

export async function startAll(harness: Harness): Promise<void> {
  await Promise.all(harness.replicas.map((replica) => replica.start()))
}

/** Makes the rotation of all accounts due now. Requires that no caller has a promise yet. */
export async function makeAllDue({ vault }: Harness): Promise<void> {
  await sql`
    update amo_tokens set "refreshAt" = now(), "nextAttemptAt" = now() - random() * interval '1 minute',
      "failedAttempts" = 0`.execute(vault.db)
}

/** Waits until the condition holds. Returns false after the limit. */
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

export async function countByStatus({
  vault,
}: Pick<Harness, 'vault'>): Promise<Map<string, number>> {
  const { rows } = await sql<{ status: string; count: number }>`
    select status, count(*) from amo_tokens group by status`.execute(vault.db)
  return new Map(rows.map(({ status, count }) => [status, count]))
}
