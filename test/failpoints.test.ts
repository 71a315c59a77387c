import { globSync, readFileSync } from 'node:fs'
import t from 'tap'
import { STEPS } from '../src/refresh/steps.ts'
import { KILLED_AT } from './torture/faults/kills.ts'

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
