import { type Kysely, sql } from 'kysely'
import { applicationName } from './postgres.ts'
import type { Tables } from './tables.ts'

export interface Binding {
  deploymentId: string
  /** Sessions of its brokers on this very database, as PostgreSQL lists them. */
  sessions: number
  /** Claims whose lease has not run out: somebody works on this database, or did a minute ago. */
  liveClaims: number
}

/** Which deployment the database belongs to, and whether that one still looks alive. Undefined: it belongs to none yet. */
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

/** Binds the database to another deployment, whose brokers refresh from now on. False: somebody else has done so meanwhile. */
export async function adoptDatabase(
  db: Kysely<Tables>,
  { deploymentId }: Binding,
  next: string,
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('amo_deployment')
    .set({ deploymentId: next })
    .where('deploymentId', '=', deploymentId)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}
