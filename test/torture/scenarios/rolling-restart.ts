import { setTimeout as delay } from 'node:timers/promises'
import { type Scenario, scenarioStage, startAll } from './scenario.ts'

const CALLERS = 200
const ACCOUNTS = 100
const ROUNDS = 2
const LIFETIME = 20
const WARM_UP_MS = 5_000

/** Deploys a new version: restarts one replica after the other under load. */
export const rollingRestart: Scenario = {
  name: `rolling restart under ${CALLERS} callers`,
  promise: 'every response is a live token or an error of the contract; no token is sent again',
  async run(run) {
    const violations: string[] = []
    const harness = await scenarioStage(run, { accounts: ACCOUNTS, lifetime: LIFETIME }, violations)
    await startAll(harness)
    await harness.pulse.start()
    run.scope.teardown(() => harness.pulse.stop())
    harness.callers.start(CALLERS)
    run.scope.teardown(() => harness.callers.stop())
    await delay(WARM_UP_MS)
    let slowestMs = 0
    for (let round = 0; round < ROUNDS; round++) {
      for (const replica of harness.replicas) {
        const beganMs = Date.now()
        await replica.terminate()
        await replica.start()
        slowestMs = Math.max(slowestMs, Date.now() - beganMs)
      }
    }
    await harness.callers.stop()
    const { totals } = harness.sandbox.world.books
    if (totals.presentedAgain > 0) violations.push('a refresh token was sent again')
    for (const { surprises } of harness.replicas) violations.push(...surprises)
    return {
      result: `${harness.callers.reads.length} tokens read, ${totals.refreshes} refreshes, slowest restart ${(slowestMs / 1000).toFixed(1)} s`,
      violations,
    }
  },
}
