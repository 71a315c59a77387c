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
/** More than max(3, 1 %) stops everything; the ones whose verdict was under way when it did come on top. */
const HANDFUL = 5
const LIMIT_MS = 90_000
const WATCHED_MS = 45_000

/** Yesterday's backup is restored under the running deployment: all of its refresh tokens are spent. */
export const oldBackup: Scenario = {
  name: 'yesterday’s backup restored',
  promise: `at most ${HANDFUL} accounts condemned before the integration is halted`,
  async run(run) {
    const violations: string[] = []
    const stage = await scenarioStage(run, { accounts: ACCOUNTS }, violations)
    const { books } = stage.sandbox.world
    const { db } = stage.vault
    await sql`create table torture_backup as table amo_tokens`.execute(db)
    await startAll(stage)
    for (const round of [1, 2]) {
      await makeAllDue(stage)
      const isDone = await until(
        async () => books.totals.refreshes >= round * ACCOUNTS && (await countStale(stage)) === 0,
        LIMIT_MS,
        run.signal,
      )
      if (!isDone) violations.push(`round ${round}: only ${books.totals.refreshes} refreshes`)
    }
    await Promise.all(stage.replicas.map((replica) => replica.terminate()))
    await restore(stage.vault.db)
    await makeAllDue(stage)
    await startAll(stage)
    const condemned = async () => (await countByStatus(stage)).get('reauth_required') ?? 0
    const state = async () => {
      const { rows } = await sql<{ state: string }>`select state from amo_integrations`.execute(db)
      return rows[0]?.state
    }
    const isHalted = await until(
      async () => (await state()) === 'halted' || (await condemned()) > 4 * HANDFUL,
      WATCHED_MS,
      run.signal,
    )
    // Whatever was on its way when it was halted.
    await until(() => false, WATCHED_MS / 3, run.signal)
    const lost = await condemned()
    if (!isHalted || (await state()) !== 'halted')
      violations.push(`the integration is ${await state()}`)
    if (lost > HANDFUL) violations.push(`${lost} accounts were condemned`)
    return { result: `${lost} condemned, the integration is ${await state()}`, violations }
  },
}

/** The rows of yesterday, and nothing that the ledger knows of today. */
async function restore(db: Kysely<Tables>): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await sql`truncate amo_tokens, amo_refresh_attempts`.execute(trx)
    await sql`insert into amo_tokens select * from torture_backup`.execute(trx)
  })
}
