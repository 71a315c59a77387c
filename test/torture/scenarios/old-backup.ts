import { type Kysely, sql } from 'kysely'
import type { Tables } from '../../../src/db/tables.ts'
import {
  countByStatus,
  makeAllDue,
  type Scenario,
  scenarioStage,
  startAll,
  until,
} from './scenario.ts'
import { countStale } from './stale.ts'

const ACCOUNTS = 200
/**
 * More than max(3, 1 %) halts the integration. Accounts that were being checked at that moment may
 * still be added.
 */
const HANDFUL = 5
const LIMIT_MS = 90_000
const WATCHED_MS = 45_000

/**
 * Restores yesterday's backup under the running deployment, so that all refresh tokens in it are
 * spent.
 */
export const oldBackup: Scenario = {
  name: 'yesterday’s backup restored',
  promise: `at most ${HANDFUL} accounts become reauth_required before the integration is halted`,
  async run(run) {
    const violations: string[] = []
    const harness = await scenarioStage(run, { accounts: ACCOUNTS }, violations)
    const { books } = harness.sandbox.world
    const { db } = harness.vault
    await sql`create table torture_backup as table amo_tokens`.execute(db)
    await startAll(harness)
    for (const round of [1, 2]) {
      await makeAllDue(harness)
      const isDone = await until(
        async () => books.totals.refreshes >= round * ACCOUNTS && (await countStale(harness)) === 0,
        LIMIT_MS,
        run.signal,
      )
      if (!isDone) violations.push(`round ${round}: only ${books.totals.refreshes} refreshes`)
    }
    await Promise.all(harness.replicas.map((replica) => replica.terminate()))
    await restore(harness.vault.db)
    await makeAllDue(harness)
    await startAll(harness)
    const countLost = async () => (await countByStatus(harness)).get('reauth_required') ?? 0
    const state = async () => {
      const { rows } = await sql<{ state: string }>`select state from amo_integrations`.execute(db)
      return rows[0]?.state
    }
    const isHalted = await until(
      async () => (await state()) === 'halted' || (await countLost()) > 4 * HANDFUL,
      WATCHED_MS,
      run.signal,
    )
    // Waits for the refreshes that were in flight when it was halted.
    await until(() => false, WATCHED_MS / 3, run.signal)
    const lost = await countLost()
    if (!isHalted || (await state()) !== 'halted')
      violations.push(`the integration is ${await state()}`)
    if (lost > HANDFUL) violations.push(`${lost} accounts became reauth_required`)
    return { result: `${lost} reauth_required, the integration is ${await state()}`, violations }
  },
}

/** Restores the rows of yesterday and removes the attempts of today. */
async function restore(db: Kysely<Tables>): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await sql`truncate amo_tokens, amo_refresh_attempts cascade`.execute(trx)
    await sql`insert into amo_tokens select * from torture_backup`.execute(trx)
  })
}
