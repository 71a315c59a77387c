import { globSync, readFileSync } from 'node:fs'
import t from 'tap'
import { STEPS } from '../src/refresh/steps.ts'
import { KILLED_AT } from './torture/faults/kills.ts'
import { report } from './torture/report.ts'
import { runMix } from './torture/run.ts'

/** `atStep('x', …)`, and `atStep` handed to a timer with `'x'` behind it. */
const FAILPOINT = /\batStep[(,]\s*'([a-z_]+)'/g

t.test('failpoints: every step of a refresh is one, and each is killed at', async (t) => {
  const inCode = globSync('src/**/*.ts')
    .flatMap((file) => [...readFileSync(file, 'utf8').matchAll(FAILPOINT)])
    .map(([, step]) => step)
  const sorted = (steps: Iterable<string | undefined>) => [...new Set(steps)].sort()
  t.same(sorted(inCode), sorted(STEPS), 'the code comes to each step, and to no other')
  t.same(sorted(KILLED_AT), sorted(STEPS), 'the harness kills at each')
})

t.test('torture, short form: nothing is lost, sent again, or condemned', async (t) => {
  const lines: string[] = []
  const result = await runMix(t, {
    seed: 20261122,
    minutes: 0.7,
    isShort: true,
    haste: 3,
    accounts: 60,
    lifetime: 20,
    callers: 12,
    signal: new AbortController().signal,
    log: (line) => lines.push(line),
  })
  const text = `${lines.join('\n')}\n${report(result)}`
  t.same(result.verdict.violations, [], text)
  t.ok(result.verdict.refreshes > 60, 'accounts were refreshed')
  t.ok(result.stage.incidents.all.length > 10, 'while faults were injected')
})
