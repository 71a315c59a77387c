import { setTimeout as delay } from 'node:timers/promises'
import { makeAllDue, type Scenario, scenarioStage, startAll, until } from './scenario.ts'

const ACCOUNTS = 1_000
const MAX_LOST = 5
const DEFAULT_PACE = 2
/** Nothing may be sent for this time, which is shorter than any opened breaker stays open. */
const SILENCE_MS = 15_000
const LIMIT_MS = 60_000
/** A breaker tries again after half a minute, and after twice as long when its canary fails too. */
const RECOVERY_LIMIT_MS = 180_000

/** The provider spends every token and responds 502 while a thousand accounts are due. */
export const brownOut: Scenario = {
  name: 'brown-out, 1,000 accounts due',
  promise: `at most ${MAX_LOST} pairs lost before all sending stops; goes on when the provider is back`,
  async run(run) {
    const violations: string[] = []
    const size = { accounts: ACCOUNTS, pacePerSecond: DEFAULT_PACE }
    const harness = await scenarioStage(run, size, violations)
    const { books, faults } = harness.sandbox.world
    faults.set([{ fault: 'bad_gateway_after_spend', endpoint: 'token' }])
    await makeAllDue(harness)
    await startAll(harness)
    const beganMs = Date.now()
    const lost = () => books.list().filter(({ spent }) => spent).length
    await until(() => lost() > 0, LIMIT_MS, run.signal)
    const lastSendMs = () =>
      Math.max(
        0,
        ...books.list().map(({ arrivedAt, endpoint }) => (endpoint === 'token' ? arrivedAt : 0)),
      )
    const isSilent = await until(
      () => Date.now() - lastSendMs() > SILENCE_MS || lost() > 4 * MAX_LOST,
      LIMIT_MS,
      run.signal,
    )
    const lostInAll = lost()
    const tookMs = Math.max(0, lastSendMs() - beganMs)
    if (lostInAll === 0) violations.push('nothing was sent at all')
    if (lostInAll > MAX_LOST) violations.push(`${lostInAll} pairs were lost`)
    if (!isSilent) violations.push('sending did not stop')
    faults.clear()
    const backMs = Date.now()
    const before = books.totals.refreshes
    const isBack = await until(
      () => books.totals.refreshes > before + 10,
      RECOVERY_LIMIT_MS,
      run.signal,
    )
    if (!isBack)
      violations.push(`nothing was refreshed within ${RECOVERY_LIMIT_MS / 1000} s of its end`)
    await delay(500)
    const recovery = isBack ? `, refreshed again after ${seconds(Date.now() - backMs)}` : ''
    return {
      result: `${lostInAll} lost, the last one after ${seconds(tookMs)}${recovery}`,
      violations,
    }
  },
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
