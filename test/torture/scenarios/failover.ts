import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import { startProxy } from '../../support/proxy.ts'
import { judge } from '../judge.ts'
import { PostgresServer } from '../postgres-server.ts'
import { makeAllDue, type Scenario, scenarioStage, startAll, until } from './scenario.ts'
import { countStale } from './stale.ts'

const ACCOUNTS = 60
const DUE_IN_SECONDS = 4
const LIMIT_MS = 90_000
/** The rows are back at pairs that are spent; what the replicas kept has to be found and committed again. */
const RECOVERY_LIMIT_MS = 120_000

/** An asynchronous standby is promoted that has not heard of the last commits. */
export const failover: Scenario = {
  name: 'asynchronous standby promoted without the last commits',
  promise: 'the pairs that the database forgot are committed again; nobody is condemned',
  async run(run) {
    const violations: string[] = []
    const primary = await PostgresServer.start(run.scope)
    const replication = await startProxy(run.scope, primary.url)
    const standby = await PostgresServer.startStandby(run.scope, replication.url)
    const databaseUrl = await primary.createDatabase('torture')
    const front = await startProxy(run.scope, databaseUrl)
    const stage = await scenarioStage(
      run,
      { accounts: ACCOUNTS, databaseUrl: front.url },
      violations,
    )
    const { books } = stage.sandbox.world
    const { db } = stage.vault
    const refreshed = (count: number) =>
      until(() => books.totals.refreshes >= count, LIMIT_MS, run.signal)
    await startAll(stage)
    await makeAllDue(stage)
    if (!(await refreshed(ACCOUNTS))) violations.push('the first round did not end')
    await delay(1_000)
    await sql`
      update amo_tokens set "refreshAt" = now() + ${DUE_IN_SECONDS} * interval '1 second',
        "nextAttemptAt" = now() + ${DUE_IN_SECONDS} * interval '1 second'`.execute(db)
    await standby.catchUp(primary)
    replication.set('hang')
    if (!(await refreshed(2 * ACCOUNTS))) violations.push('the second round did not end')
    // Their commits: the provider's part is done.
    await delay(1_000)
    await primary.crash()
    await standby.promote()
    front.leadTo(standby.url)
    const forgotten = await countStale(stage)
    const lostMs = Date.now()
    const isBack = await until(
      async () => (await countStale(stage)) === 0,
      RECOVERY_LIMIT_MS,
      run.signal,
    )
    const tookMs = Date.now() - lostMs
    if (forgotten < ACCOUNTS / 2) violations.push(`only ${forgotten} commits were forgotten`)
    if (!isBack) violations.push(`${await countStale(stage)} accounts have a pair that is spent`)
    await Promise.all(stage.replicas.map((replica) => replica.terminate()))
    const verdict = await judge(stage)
    const again = verdict.violations.filter(({ kind }) => kind === 'sent again').length
    for (const { kind, text } of verdict.violations) {
      // The claim itself may be among what was forgotten: nobody can know then.
      if (kind !== 'sent again') violations.push(`${kind}: ${text}`)
    }
    return {
      result: `${forgotten} commits forgotten, all committed again after ${(tookMs / 1000).toFixed(1)} s; ${again} tokens sent again`,
      violations,
    }
  },
}
