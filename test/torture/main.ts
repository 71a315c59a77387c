import { parseArgs } from 'node:util'
import { withScope } from '../support/scope.ts'
import { findServices } from '../support/services.ts'
import { faultNames } from './lanes.ts'
import { report } from './report.ts'
import { runMix } from './run.ts'
import { SCENARIOS } from './scenarios/all.ts'
import { runScenarios } from './scenarios/run.ts'

const help = `Usage: npm run torture -- [options]

Three brokers on a real PostgreSQL and a Redis of their own, behind proxies; a sandbox that plays the
provider and is the judge; callers that use every token they get; and everything that can go wrong.
Ends with a table and exit code 0 when every count of violations is 0.

  --minutes <n>    how long faults are injected; default 3
  --seed <n>       the schedule: which fault, on which replica, for how long; default: by chance
  --accounts <n>   default 400
  --lifetime <s>   of an access token, in seconds; default 45
  --callers <n>    default 60
  --only <text>    only faults and scenarios whose name holds this
  --once           every fault once, instead of --minutes
  --no-scenarios   only the mix of faults
  --list           the names of all faults and scenarios
  --help`

const OPTIONS = {
  minutes: { type: 'string', default: '3' },
  seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  accounts: { type: 'string', default: '400' },
  lifetime: { type: 'string', default: '45' },
  callers: { type: 'string', default: '60' },
  only: { type: 'string' },
  once: { type: 'boolean', default: false },
  scenarios: { type: 'boolean', default: true },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

process.exitCode = await main()

async function main(): Promise<number> {
  const { values } = parseArgs({ options: OPTIONS, allowNegative: true })
  if (values.help) return say(help)
  const scenarios = SCENARIOS.map(({ name }) => name)
  if (values.list) return say([...faultNames(), ...scenarios].join('\n'))
  const interrupted = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => interrupted.abort(new Error(name)))
  }
  const { only } = values
  const options = {
    seed: number('seed', values.seed),
    minutes: number('minutes', values.minutes),
    accounts: number('accounts', values.accounts),
    lifetime: number('lifetime', values.lifetime),
    callers: number('callers', values.callers),
    only,
    isOnce: values.once,
    signal: interrupted.signal,
    log: say,
  }
  const fits = (name: string) => only === undefined || name.includes(only)
  say(`seed ${options.seed}`)
  await using stack = new AsyncDisposableStack()
  try {
    const services = await findServices({ log: say, signal: interrupted.signal })
    stack.defer(() => services.stop())
    process.env.TEST_DATABASE_URL = services.databaseUrl
    let violations = 0
    if (faultNames().some(fits)) {
      const result = await withScope((scope) => runMix(scope, options))
      say(report(result))
      violations += result.verdict.violations.length
    }
    if (values.scenarios && scenarios.some(fits)) violations += await runScenarios(options)
    say(violations === 0 ? '\nno violation' : `\n${violations} violations`)
    return violations === 0 ? 0 : 1
  } catch (error) {
    if (!interrupted.signal.aborted) throw error
    say('interrupted')
    return 130
  }
}

function number(name: string, text: string): number {
  const value = Number(text)
  if (Number.isFinite(value) && value > 0) return value
  throw new Error(`--${name} must be a number above 0`)
}

function say(line: string): number {
  console.log(line)
  return 0
}
