import type { Kysely } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { InboxRow } from './inbox.ts'

/** The newest first, those before `before`. */
export function findCallbacks(
  db: Kysely<Tables>,
  before: Date | undefined,
  limit: number,
): Promise<InboxRow[]> {
  let query = db
    .selectFrom('amo_inbox')
    .selectAll()
    .where('kind', '=', 'callback')
    .orderBy('receivedAt', 'desc')
    .limit(limit)
  if (before !== undefined) query = query.where('receivedAt', '<', before)
  return query.execute()
}
