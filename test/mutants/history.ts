import { spawn } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { findServices } from '../support/services.ts'
import { mutate } from './mutant.ts'
import type { Mutation } from './mutation.ts'
import { MUTATIONS } from './mutations.ts'
import { copyRepository } from './sources.ts'

const help = `Usage: npm run mutants:history [-- --only <words> … --schedules <n> --jobs <n>]

Plays races and random schedules with each mutant of the refresh, and verifies the histories that
they leave (src/history). Prints which rules reject the histories of a mutant. A mutant that leaves
only histories which keep the rules is seen by other tests; test/mutants/README.md lists them.

  --only <words>   mutations whose name contains the words; may be given more than once
  --schedules <n>  random schedules per mutant, for each of two lanes (default 250: those that
                   npm test plays)
  --jobs <n>       so many mutants at a time (default 1)
  --help`

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    schedules: { type: 'string', default: '250' },
    jobs: { type: 'string', default: '1' },
    help: { type: 'boolean', short: 'h', default: false },
  },
})
/** The tests that play the refresh on a real database with a virtual clock. */
const PLAYED = ['test/races.test.ts', 'test/interleavings.test.ts']
/** Milliseconds for one file. The results of its tests do not matter here, only the histories. */
const FILE_TIMEOUT_MS = 600_000

if (values.help) console.log(help)
else await main()

async function main(): Promise<void> {
  const { only } = values
  const chosen = MUTATIONS.filter(
    ({ guard, tests }) =>
      tests.some(({ file }) => PLAYED.includes(file)) &&
      (only?.some((words) => guard.toLowerCase().includes(words.toLowerCase())) ?? true),
  )
  await using stack = new AsyncDisposableStack()
  const services = await findServices({ log: () => {} })
  stack.defer(() => services.stop())
  process.env.TEST_DATABASE_URL = services.databaseUrl
  const work = async () => {
    for (let next = chosen.shift(); next !== undefined; next = chosen.shift()) {
      const rules = await rulesBrokenBy(next)
      const text = [...rules].map(([rule, times]) => `${rule} ×${times}`).join(', ')
      console.log(`${next.guard}: ${text || 'accepted'}`)
    }
  }
  await Promise.all(Array.from({ length: Number(values.jobs) || 1 }, work))
}

/** Returns how often each rule rejected a history of the mutant. */
async function rulesBrokenBy({ edits }: Mutation): Promise<Map<string, number>> {
  const copy = copyRepository()
  const file = join(copy, 'history-findings')
  try {
    mutate(copy, edits)
    const env = {
      ...process.env,
      HISTORY_FINDINGS: file,
      SCHEDULES: values.schedules,
      SCHEDULE_SEED: '1',
      TAP_TIMEOUT: String(FILE_TIMEOUT_MS / 1000),
    }
    for (const test of PLAYED) {
      const child = spawn(process.execPath, [test], { cwd: copy, env, timeout: FILE_TIMEOUT_MS })
      child.stdout.resume()
      child.stderr.resume()
      await new Promise((resolve) => child.once('close', resolve))
    }
    const rules = new Map<string, number>()
    for (const rule of existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []) {
      rules.set(rule, (rules.get(rule) ?? 0) + 1)
    }
    return rules
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}
