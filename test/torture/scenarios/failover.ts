import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import { startProxy } from '../../support/proxy.ts'
import { checkRun } from '../check-run.ts'
import { PostgresServer } from '../postgres-server.ts'
import { makeAllDue, type Scenario, scenarioStage, startAll, until } from './scenario.ts'
import { countStale } from './stale.ts'

const ACCOUNTS = 60
const DUE_IN_SECONDS = 4
const LIMIT_MS = 90_000
/** The rows are back at spent pairs. The journaled responses must be found and committed again. */
const RECOVERY_LIMIT_MS = 120_000

/** Promotes an asynchronous standby that lacks the last commits. */
export const failover: Scenario = {
  name: 'asynchronous standby promoted without the last commits',
  promise:
    'the pairs that the database forgot are committed again; no account becomes reauth_required',
  async run(run) {
    const violations: string[] = []
    const primary = await PostgresServer.start(run.scope)
    const replication = await startProxy(run.scope, primary.url)
    const standby = await PostgresServer.startStandby(run.scope, replication.url)
    const databaseUrl = await primary.createDatabase('torture')
    const front = await startProxy(run.scope, databaseUrl)
    const harness = await scenarioStage(
      run,
      { accounts: ACCOUNTS, databaseUrl: front.url },
      violations,
    )
    const { books } = harness.sandbox.world
    const { db } = harness.vault
    const refreshed = (count: number) =>
      until(() => books.totals.refreshes >= count, LIMIT_MS, run.signal)
    await startAll(harness)
    await makeAllDue(harness)
    if (!(await refreshed(ACCOUNTS))) violations.push('the first round did not end')
    await delay(1_000)
    await sql`
      update amo_tokens set "refreshAt" = now() + ${DUE_IN_SECONDS} * interval '1 second',
        "nextAttemptAt" = now() + ${DUE_IN_SECONDS} * interval '1 second'`.execute(db)
    await standby.catchUp(primary)
    replication.set('hang')
    if (!(await refreshed(2 * ACCOUNTS))) violations.push('the second round did not end')
    // Waits for the commits, because the provider has already responded.
    await delay(1_000)
    await primary.crash()
    await standby.promote()
    front.leadTo(standby.url)
    const forgotten = await countStale(harness)
    const lostMs = Date.now()
    const isBack = await until(
      async () => (await countStale(harness)) === 0,
      RECOVERY_LIMIT_MS,
      run.signal,
    )
    const tookMs = Date.now() - lostMs
    if (forgotten < ACCOUNTS / 2) violations.push(`only ${forgotten} commits were forgotten`)
    if (!isBack) violations.push(`${await countStale(harness)} accounts have a pair that is spent`)
    await Promise.all(harness.replicas.map((replica) => replica.terminate()))
    const findings = await checkRun(harness)
    const again = findings.violations.filter(({ kind }) => kind === 'sent again').length
    for (const { kind, text } of findings.violations) {
      // The claim itself may be among the forgotten commits. Then no broker can know of the send.
      if (kind !== 'sent again') violations.push(`${kind}: ${text}`)
    }
    return {
      result: `${forgotten} commits forgotten, all committed again after ${(tookMs / 1000).toFixed(1)} s; ${again} tokens sent again`,
      violations,
    }
  },
}
