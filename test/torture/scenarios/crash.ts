import { setTimeout as delay } from 'node:timers/promises'
import { startProxy } from '../../support/proxy.ts'
import { checkRun } from '../check-run.ts'
import { PostgresServer } from '../postgres-server.ts'
import { type Scenario, scenarioStage, startAll, until } from './scenario.ts'
import { countStale } from './stale.ts'

const ACCOUNTS = 100
const LIFETIME = 16
const CALLERS = 40
const CRASHES = 3
const BETWEEN_MS = 8_000
const DOWN_MS = 2_000
const LIMIT_MS = 90_000

/** The database server crashes and recovers from its log under refreshes and reads. */
export const crash: Scenario = {
  name: 'PostgreSQL crashes and recovers',
  promise: 'no pair is lost, no token sent again, no account wrongly reauth_required',
  async run(run) {
    const violations: string[] = []
    const server = await PostgresServer.start(run.scope)
    const front = await startProxy(run.scope, await server.createDatabase('torture'))
    const size = { accounts: ACCOUNTS, lifetime: LIFETIME, databaseUrl: front.url }
    const harness = await scenarioStage(run, size, violations)
    await startAll(harness)
    await harness.pulse.start()
    run.scope.teardown(() => harness.pulse.stop())
    harness.callers.start(CALLERS)
    run.scope.teardown(() => harness.callers.stop())
    for (let nth = 0; nth < CRASHES; nth++) {
      await delay(BETWEEN_MS)
      await server.crash()
      await delay(DOWN_MS)
      await server.restart()
    }
    await delay(BETWEEN_MS)
    const isWell = await until(async () => (await countStale(harness)) === 0, LIMIT_MS, run.signal)
    await harness.callers.stop()
    await Promise.all(harness.replicas.map((replica) => replica.terminate()))
    if (!isWell) violations.push(`${await countStale(harness)} accounts have a pair that is spent`)
    const findings = await checkRun(harness)
    violations.push(...findings.violations.map(({ kind, text }) => `${kind}: ${text}`))
    return {
      result: `${CRASHES} crashes, ${findings.refreshes} refreshes, ${findings.reads} tokens read`,
      violations,
    }
  },
}
