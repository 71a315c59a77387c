import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { findServices } from '../support/services.ts'
import { withTeardown } from '../support/teardown-scope.ts'
import { faultNames } from './lanes.ts'
import { report } from './report.ts'
import { runMix } from './run.ts'
import { SCENARIOS } from './scenarios/all.ts'
import { runScenarios } from './scenarios/run.ts'

const help = `Usage: npm run torture -- [options]

Starts three brokers on PostgreSQL and Redis behind proxies, and a sandbox as the provider. Callers use
every token that they read while faults are injected. Prints a table and exits with 0 when there is no
violation.

  --minutes <n>    how long faults are injected; default 3
  --seed <n>       selects the faults, their replicas and durations; default: random
  --accounts <n>   default 400
  --lifetime <s>   of an access token, in seconds; default 45
  --callers <n>    default 60
  --only <text>    only faults and scenarios whose name contains this
  --with-version <ref>
                   one of the brokers is of this tag or commit; only in the mix
                   of faults
  --once           every fault once, instead of --minutes
  --no-scenarios   only the mix of faults
  --prometheus     scrape the replicas of the mix with a real Prometheus, and
                   compare its SLIs with the counts of the harness
  --picture <file> the same, and draw the dashboard as SVG
  --list           prints the names of all faults and scenarios
  --help`

const OPTIONS = {
  minutes: { type: 'string', default: '3' },
  seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  accounts: { type: 'string', default: '400' },
  lifetime: { type: 'string', default: '45' },
  callers: { type: 'string', default: '60' },
  only: { type: 'string' },
  'with-version': { type: 'string' },
  prometheus: { type: 'boolean', default: false },
  picture: { type: 'string' },
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
    version: values['with-version'],
    isOnce: values.once,
    isMonitored: values.prometheus || values.picture !== undefined,
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
      const result = await withTeardown((scope) => runMix(scope, options))
      say(report(result))
      if (values.picture) writeFileSync(values.picture, result.monitored?.picture ?? '')
      violations += result.findings.violations.length
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
