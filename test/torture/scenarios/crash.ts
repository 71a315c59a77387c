import { setTimeout as delay } from 'node:timers/promises'
import { startProxy } from '../../support/proxy.ts'
import { judge } from '../judge.ts'
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

/** The server itself crashes, and recovers from its log, while refreshes and reads go on. */
export const crash: Scenario = {
  name: 'PostgreSQL crashes and recovers',
  promise: 'nothing is lost, sent again or condemned',
  async run(run) {
    const violations: string[] = []
    const server = await PostgresServer.start(run.scope)
    const front = await startProxy(run.scope, await server.createDatabase('torture'))
    const size = { accounts: ACCOUNTS, lifetime: LIFETIME, databaseUrl: front.url }
    const stage = await scenarioStage(run, size, violations)
    await startAll(stage)
    await stage.pulse.start()
    run.scope.teardown(() => stage.pulse.stop())
    stage.callers.start(CALLERS)
    run.scope.teardown(() => stage.callers.stop())
    for (let nth = 0; nth < CRASHES; nth++) {
      await delay(BETWEEN_MS)
      await server.crash()
      await delay(DOWN_MS)
      await server.restart()
    }
    await delay(BETWEEN_MS)
    const isWell = await until(async () => (await countStale(stage)) === 0, LIMIT_MS, run.signal)
    await stage.callers.stop()
    await Promise.all(stage.replicas.map((replica) => replica.terminate()))
    if (!isWell) violations.push(`${await countStale(stage)} accounts have a pair that is spent`)
    const verdict = await judge(stage)
    violations.push(...verdict.violations.map(({ kind, text }) => `${kind}: ${text}`))
    return {
      result: `${CRASHES} crashes, ${verdict.refreshes} refreshes, ${verdict.reads} tokens read`,
      violations,
    }
  },
}
