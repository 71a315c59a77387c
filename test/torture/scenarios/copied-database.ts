import { setTimeout as delay } from 'node:timers/promises'
import { copyDatabase, query, serverUrl } from '../../support/database.ts'
import type { TeardownScope } from '../../support/teardown-scope.ts'
import { brokerEnv, makeReplica } from '../open-harness.ts'
import { makeAllDue, type Scenario, scenarioStage, startAll, until } from './scenario.ts'

const ACCOUNTS = 60
/** Many times as long as a due account waits. */
const WATCHED_MS = 15_000
const LIMIT_MS = 60_000

/** Starts another deployment, such as staging, on a copy of the database beside the original. */
export const copiedDatabase: Scenario = {
  name: 'copy of the database as another deployment',
  promise: 'the copy sends nothing, serves what it has, and the true one loses nothing',
  async run(run) {
    const violations: string[] = []
    const harness = await scenarioStage(run, { accounts: ACCOUNTS, replicas: 1 }, violations)
    const { books } = harness.sandbox.world
    await makeAllDue(harness)
    const copyUrl = await copyOf(harness.vault.databaseUrl, run.scope)
    const vault = { ...harness.vault, databaseUrl: copyUrl, deploymentId: 'another-deployment' }
    const copy = await makeReplica(run.scope, {
      nth: 9,
      folder: harness.folder,
      env: brokerEnv(vault, harness.operatorKey, 100),
      journal: harness.journal,
      vault,
      redis: harness.redis,
    })
    await copy.start()
    await delay(WATCHED_MS)
    const { accountId } = harness.subjects[0] ?? { accountId: 0 }
    const headers = { authorization: `Bearer ${harness.operatorKey}` }
    const answer = await fetch(`${copy.url}/tokens/${accountId}`, { headers })
    if (answer.status !== 200) violations.push(`the copy answered ${answer.status}`)
    const sent = books.totals.tokenCalls
    if (sent > 0) violations.push(`the copy sent ${sent} refresh tokens`)
    await startAll(harness)
    const isDone = await until(() => books.totals.refreshes >= ACCOUNTS, LIMIT_MS, run.signal)
    await delay(WATCHED_MS / 3)
    if (!isDone) violations.push(`only ${books.totals.refreshes} accounts were refreshed`)
    if (books.totals.presentedAgain > 0) violations.push('a refresh token was sent again')
    await copy.terminate()
    return {
      result: `${sent} sends by the copy, ${books.totals.refreshes} by the true one`,
      violations,
    }
  },
}

/**
 * Copies the database. Ends the harness's own connections first, which are opened again on demand.
 */
async function copyOf(url: string, scope: TeardownScope): Promise<string> {
  const name = new URL(url).pathname.slice(1)
  await query(
    serverUrl(),
    'select pg_terminate_backend(pid) from pg_stat_activity where datname = $1',
    [name],
  )
  return copyDatabase(scope, url)
}
