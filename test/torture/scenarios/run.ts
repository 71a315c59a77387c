import { withTeardown } from '../../support/teardown-scope.ts'
import { table } from '../report.ts'
import { SCENARIOS } from './all.ts'

export interface ScenariosOptions {
  seed: number
  only?: string | undefined
  signal: AbortSignal
  log: (line: string) => void
}

/**
 * Runs the scenarios whose name contains `only` and prints their table. Returns the number of
 * violations.
 */
export async function runScenarios({ only, ...options }: ScenariosOptions): Promise<number> {
  const { signal, log } = options
  const rows: string[][] = []
  const violations: string[] = []
  for (const scenario of SCENARIOS) {
    if (only !== undefined && !scenario.name.includes(only)) continue
    signal.throwIfAborted()
    log(`scenario: ${scenario.name}`)
    const outcome = await withTeardown((scope) => scenario.run({ scope, ...options }))
    log(`scenario: ${scenario.name}: ${outcome.result}`)
    for (const text of outcome.violations) violations.push(`VIOLATION ${scenario.name}: ${text}`)
    rows.push([
      scenario.name,
      scenario.promise,
      outcome.result,
      outcome.violations.length === 0 ? 'holds' : `${outcome.violations.length} VIOLATIONS`,
    ])
  }
  log(`\n${table(['scenario', 'must hold', 'result', ''], rows)}`)
  for (const text of violations) log(text)
  return violations.length
}
