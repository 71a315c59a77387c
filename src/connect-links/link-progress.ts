import { type Kysely, type Selectable, sql } from 'kysely'
import type { Act } from '../audit/act.ts'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import { BrokerError } from '../lib/errors.ts'

/** A link and what became of it, without the secret in its URL. */
export type LinkProgress = Pick<
  Selectable<Tables['amo_connect_links']>,
  | 'id'
  | 'integration'
  | 'mode'
  | 'expectedAccount'
  | 'createdBy'
  | 'createdAt'
  | 'expiresAt'
  | 'openedAt'
  | 'problem'
  | 'problemAt'
  | 'usedAt'
  | 'usedByAccountId'
> & {
  /** The newest callback that was stored. Null: none was. */
  onboardingId: string | null
  outcome: string | null
}

/** Records that somebody has opened a link. Only the first time is written. */
export async function markOpened({ db }: Database, id: string): Promise<void> {
  await sql`
    update amo_connect_links set "openedAt" = clock_timestamp() where id = ${id} and "openedAt" is null
  `.execute(db)
}

/** Records why a callback of a link was refused. */
export async function recordProblem({ db }: Database, id: string, code: string): Promise<void> {
  await sql`
    update amo_connect_links set problem = ${code}, "problemAt" = clock_timestamp() where id = ${id}
  `.execute(db)
}

/** @returns undefined when there is no such link, or it was withdrawn */
export async function findLinkProgress(
  db: Kysely<Tables>,
  id: string,
): Promise<LinkProgress | undefined> {
  const { rows } = await sql<LinkProgress>`${PROGRESS} where l.id = ${id}`.execute(db)
  return rows[0]
}

/**
 * Returns the newest links that people have made before a time, without those that the broker makes
 * by itself.
 */
export async function listLinks(
  db: Kysely<Tables>,
  before: Date | undefined,
  limit: number,
): Promise<LinkProgress[]> {
  const older = before === undefined ? sql`` : sql`and l."createdAt" < ${before}`
  const { rows } = await sql<LinkProgress>`
    ${PROGRESS} where l."createdBy" <> 'broker' ${older} order by l."createdAt" desc limit ${limit}
  `.execute(db)
  return rows
}

/** Ends a link that was not used. Throws `link_not_found`. */
export async function withdrawLink({ db }: Database, id: string, act: Act): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const { numDeletedRows } = await trx
      .deleteFrom('amo_connect_links')
      .where('id', '=', id)
      .where('usedAt', 'is', null)
      .where('createdBy', '!=', 'broker')
      .executeTakeFirstOrThrow()
    if (numDeletedRows !== 1n) {
      throw new BrokerError('link_not_found', 'The link was used, was withdrawn, or never existed.')
    }
    await act.record(trx)
  })
}

const PROGRESS = sql`
  select l.id, l.integration, l.mode, l."expectedAccount", l."createdBy", l."createdAt", l."expiresAt",
    l."openedAt", l.problem, l."problemAt", l."usedAt", l."usedByAccountId",
    i.id as "onboardingId", i.outcome
  from amo_connect_links l
  left join lateral (
    select id, outcome from amo_inbox where "linkId" = l.id order by "receivedAt" desc limit 1
  ) i on true`
