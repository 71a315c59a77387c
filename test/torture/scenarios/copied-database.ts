import { setTimeout as delay } from 'node:timers/promises'
import { copyDatabase, query, serverUrl } from '../../support/database.ts'
import type { Scope } from '../../support/scope.ts'
import { brokerEnv, makeReplica } from '../set-up.ts'
import { makeAllDue, type Scenario, scenarioStage, startAll, until } from './scenario.ts'

const ACCOUNTS = 60
/** Many times what a due account waits for. */
const WATCHED_MS = 15_000
const LIMIT_MS = 60_000

/** A copy of the database, started as another deployment beside the true one: staging, say. */
export const copiedDatabase: Scenario = {
  name: 'copy of the database as another deployment',
  promise: 'the copy sends nothing, serves what it has, and the true one loses nothing',
  async run(run) {
    const violations: string[] = []
    const stage = await scenarioStage(run, { accounts: ACCOUNTS, replicas: 1 }, violations)
    const { books } = stage.sandbox.world
    await makeAllDue(stage)
    const copyUrl = await copyOf(stage.vault.databaseUrl, run.scope)
    const vault = { ...stage.vault, databaseUrl: copyUrl, deploymentId: 'another-deployment' }
    const copy = await makeReplica(run.scope, {
      nth: 9,
      folder: stage.folder,
      env: brokerEnv(vault, stage.operatorKey, 100),
      journal: stage.journal,
      vault,
      redis: stage.redis,
    })
    await copy.start()
    await delay(WATCHED_MS)
    const { accountId } = stage.subjects[0] ?? { accountId: 0 }
    const headers = { authorization: `Bearer ${stage.operatorKey}` }
    const answer = await fetch(`${copy.url}/tokens/${accountId}`, { headers })
    if (answer.status !== 200) violations.push(`the copy answered ${answer.status}`)
    const sent = books.totals.tokenCalls
    if (sent > 0) violations.push(`the copy sent ${sent} refresh tokens`)
    await startAll(stage)
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

/** The harness's own connections are ended first: it opens new ones when it needs them. */
async function copyOf(url: string, scope: Scope): Promise<string> {
  const name = new URL(url).pathname.slice(1)
  await query(
    serverUrl(),
    'select pg_terminate_backend(pid) from pg_stat_activity where datname = $1',
    [name],
  )
  return copyDatabase(scope, url)
}
