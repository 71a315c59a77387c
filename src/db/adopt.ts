import { type Kysely, sql } from 'kysely'
import { applicationName } from './postgres.ts'
import type { Tables } from './tables.ts'

export interface Binding {
  deploymentId: string
  /** Sessions of its brokers on this database, as PostgreSQL lists them. */
  sessions: number
  /** Claims whose lease has not run out: a broker works on this database, or did a minute ago. */
  liveClaims: number
}

/**
 * Returns the deployment that the database belongs to, with signs that it is still running.
 * @returns Undefined when the database belongs to no deployment yet.
 */
export async function findBinding(db: Kysely<Tables>): Promise<Binding | undefined> {
  const bound = await db.selectFrom('amo_deployment').select(['deploymentId']).executeTakeFirst()
  if (bound === undefined) return undefined
  const { deploymentId } = bound
  const { rows } = await sql<Omit<Binding, 'deploymentId'>>`
    select (select count(*)::int from pg_stat_activity where datname = current_database()
        and application_name = ${applicationName(deploymentId)}) as sessions,
      (select count(*)::int from amo_refresh_attempts where "finishedAt" is null
        and purpose <> 'verdict' and "leaseUntil" > clock_timestamp()) as "liveClaims"
  `.execute(db)
  const [signs = { sessions: 0, liveClaims: 0 }] = rows
  return { deploymentId, ...signs }
}

/**
 * Binds the database to another deployment, whose brokers refresh from now on. The database may be
 * a restored one, so the generations that were used after the backup are skipped: `known` is the
 * greatest outside of it.
 * @returns False when the binding has changed since it was read.
 */
export function adoptDatabase(
  db: Kysely<Tables>,
  { deploymentId }: Binding,
  next: string,
  known: number,
): Promise<boolean> {
  return db.transaction().execute(async (trx) => {
    const { numUpdatedRows } = await trx
      .updateTable('amo_deployment')
      .set({ deploymentId: next })
      .where('deploymentId', '=', deploymentId)
      .executeTakeFirstOrThrow()
    if (numUpdatedRows !== 1n) return false
    await sql`select amo_raise_generations(${known}, true)`.execute(trx)
    return true
  })
}
