import { type Kysely, sql } from 'kysely'
import { pino } from 'pino'
import t from 'tap'
import { claimDueAccounts } from '../src/claims/claim-due-accounts.ts'
import { findRechecks } from '../src/claims/find-rechecks.ts'
import { takeForCheck } from '../src/claims/take-for-check.ts'
import type { Database } from '../src/db/database.ts'
import { openPostgres } from '../src/db/postgres.ts'
import type { Tables } from '../src/db/tables.ts'
import { findDueEndpoints } from '../src/deliveries/claim.ts'
import { DatabaseSnapshot } from '../src/monitoring/database-snapshot.ts'
import { Secret } from '../src/vault/secret.ts'
import { query } from './support/database.ts'
import { createLedger, DEPLOYMENT } from './support/engine.ts'

/** Rows of each kind that are not due. */
const WAITING = 1_000
/** Rows that a statement may read: those that are due, and a few more. */
const FEW = 10

const INTEGRATION = 'amocrm'

/** Inserts accounts with these columns, whose values are SQL. */
function addWaiting(databaseUrl: string, firstId: number, columns: Record<string, string>) {
  const names = Object.keys(columns).map((name) => `"${name}"`)
  return query(
    databaseUrl,
    `insert into amo_tokens (integration, "accountId", "approvedAt", "accessToken", "refreshToken",
       "refreshTokenFingerprint", generation, "issuedAt", "expiresAt", "refreshAt", ${names.join()})
     select '${INTEGRATION}', ${firstId} + n, now(), 'key.access', 'key.refresh', 'f' || ${firstId} + n,
       nextval('amo_generation'), now(), now() + interval '20 hours', now() + interval '15 hours',
       ${Object.values(columns).join()}
     from generate_series(1, ${WAITING}) n`,
  )
}

t.test('statements that look for what is due read no rows that are not', async (t) => {
  const { databaseUrl, claimContext } = await createLedger(t)
  await query(databaseUrl, 'alter table amo_tokens disable trigger user')
  await query(databaseUrl, 'update amo_tokens set "checkedAt" = now()')
  const soon = `now() + interval '16 hours'`
  await addWaiting(databaseUrl, 1_000_000, {
    status: `'active'`,
    nextAttemptAt: soon,
    checkedAt: 'now()',
  })
  const nextMonth = `now() + interval '30 days'`
  await addWaiting(databaseUrl, 2_000_000, { status: `'active'`, nextAttemptAt: nextMonth })
  await addWaiting(databaseUrl, 3_000_000, { status: `'reauth_required'`, nextAttemptAt: soon })
  await query(
    databaseUrl,
    `with endpoint as (
       insert into amo_endpoints (name, kind, target, origin, "createdBy")
       values ('dead', 'webhook', 'sealed', 'https://dead.example', 'operator') returning id
     ) insert into amo_deliveries ("endpointId", "messageId", "eventIds", "nextAttemptAt")
     select id, gen_random_uuid(), array[gen_random_uuid()], now() + interval '1 hour'
     from endpoint, generate_series(1, ${WAITING})`,
  )
  await query(databaseUrl, 'analyze')
  const url = new Secret(databaseUrl)
  const database = openPostgres(url, url, pino({ level: 'silent' }))
  t.teardown(() => database.close())

  /** Returns how many rows `work` reads of a table, where the planner prefers indexes. */
  const rowsRead = (table: string, work: (db: Kysely<Tables>) => Promise<unknown>) =>
    database.db.transaction().execute(async (trx) => {
      await sql`set local enable_seqscan = off`.execute(trx)
      await work(trx)
      const { rows } = await sql<{ count: number }>`
        select (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int as count
        from pg_stat_xact_user_tables where relname = ${table}
      `.execute(trx)
      return rows[0]?.count ?? Number.NaN
    })
  const cases: [name: string, table: string, work: (db: Kysely<Tables>) => Promise<unknown>][] = [
    [
      'due accounts',
      'amo_tokens',
      (claims) => claimDueAccounts({ ...claimContext, claims }, INTEGRATION, 5),
    ],
    [
      'checks',
      'amo_tokens',
      (claims) => takeForCheck({ ...claimContext, claims }, INTEGRATION, 60),
    ],
    ['rechecks', 'amo_tokens', (claims) => findRechecks({ ...claimContext, claims }, 5)],
    ['deliveries', 'amo_deliveries', (db) => findDueEndpoints(db, DEPLOYMENT)],
    [
      'metrics',
      'amo_tokens',
      (db) => new DatabaseSnapshot({ db, storage: database.storage } as Database).get(),
    ],
  ]
  for (const [name, table, work] of cases) {
    const count = await rowsRead(table, work)
    t.ok(count <= FEW, `${name}: ${count} rows`)
  }
})
