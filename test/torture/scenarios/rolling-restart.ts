import { setTimeout as delay } from 'node:timers/promises'
import { type Scenario, scenarioStage, startAll } from './scenario.ts'

const CALLERS = 200
const ACCOUNTS = 100
const ROUNDS = 2
const LIFETIME = 20
const WARM_UP_MS = 5_000

/** A deployment of a new version: one replica after the other, while everybody goes on asking. */
export const rollingRestart: Scenario = {
  name: `rolling restart under ${CALLERS} callers`,
  promise: 'every answer is a token that lives, or an error of the contract; nothing is sent again',
  async run(run) {
    const violations: string[] = []
    const stage = await scenarioStage(run, { accounts: ACCOUNTS, lifetime: LIFETIME }, violations)
    await startAll(stage)
    await stage.pulse.start()
    run.scope.teardown(() => stage.pulse.stop())
    stage.callers.start(CALLERS)
    run.scope.teardown(() => stage.callers.stop())
    await delay(WARM_UP_MS)
    let slowestMs = 0
    for (let round = 0; round < ROUNDS; round++) {
      for (const replica of stage.replicas) {
        const beganMs = Date.now()
        await replica.terminate()
        await replica.start()
        slowestMs = Math.max(slowestMs, Date.now() - beganMs)
      }
    }
    await stage.callers.stop()
    const { totals } = stage.sandbox.world.books
    if (totals.presentedAgain > 0) violations.push('a refresh token was sent again')
    for (const { surprises } of stage.replicas) violations.push(...surprises)
    return {
      result: `${stage.callers.reads.length} tokens read, ${totals.refreshes} refreshes, slowest restart ${(slowestMs / 1000).toFixed(1)} s`,
      violations,
    }
  },
}
