import { type RawBuilder, sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { type AccountKey, keyText } from '../lib/account-key.ts'

/** What the audit knows of one account: when it became `reauth_required`, and its imports. */
export interface AccountEvents extends AccountKey {
  reauthMs: number[]
  importMs: number[]
}

interface EventRow extends AccountKey {
  action: string
  atMs: number
}

/**
 * Reads from the audit what attempts do not show, since `since`. A status that somebody set in psql
 * is in the audit and no finding. Few accounts have such a row, so all of them are read at once.
 */
export async function readEvents(
  trx: Transaction<Tables>,
  since: RawBuilder<Date>,
): Promise<Map<string, AccountEvents>> {
  const { rows } = await sql<EventRow>`
    select integration, "accountId", action, (extract(epoch from at) * 1000)::float8 as "atMs"
    from amo_audit
    where at > ${since} and integration is not null and "accountId" is not null and (
      (action = 'accountStatus' and outcome = 'reauth_required' and detail ->> 'session' = 'broker')
      or (action = 'importAccount' and outcome in ('created', 'replaced')))
  `.execute(trx)
  const events = new Map<string, AccountEvents>()
  for (const { action, atMs, ...key } of rows) {
    const of = events.get(keyText(key)) ?? { ...key, reauthMs: [], importMs: [] }
    events.set(keyText(key), of)
    if (action === 'importAccount') of.importMs.push(atMs)
    else of.reauthMs.push(atMs)
  }
  return events
}
