import { globSync, readFileSync } from 'node:fs'
import t from 'tap'
import {
  ACT_STEPS,
  DELIVERY_STEPS,
  EVENT_STEPS,
  ONBOARDING_STEPS,
  REFRESH_STEPS,
} from '../src/lib/failpoint.ts'
import { KILLED_AT } from './torture/faults/kills.ts'

const FAILPOINT = /\bfailpoint\('([a-z_]+)'/g

t.test(
  'failpoints: the code has each step, and the torture kills at each step of a refresh',
  async (t) => {
    const inCode = globSync('src/**/*.ts')
      .flatMap((file) => [...readFileSync(file, 'utf8').matchAll(FAILPOINT)])
      .map(([, step]) => step)
    const sorted = (steps: Iterable<string | undefined>) => [...new Set(steps)].sort()
    const ofOthers = [...ONBOARDING_STEPS, ...ACT_STEPS, ...EVENT_STEPS, ...DELIVERY_STEPS]
    const steps = [...REFRESH_STEPS, ...ofOthers, 'escrow_appended']
    t.same(sorted(inCode), sorted(steps), 'the code has each step, and no other')
    t.same(sorted(KILLED_AT), sorted(REFRESH_STEPS), 'the harness kills at each')
  },
)
