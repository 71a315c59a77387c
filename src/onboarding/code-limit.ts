import { sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'

/** A person who fails more often needs help, not another attempt. */
const MAX_REFUSED_PER_BROWSER = 3
const MAX_REFUSED_PER_LINK = 20
/** The life of a code. */
const WINDOW_MINUTES = 20
/** Ends of an onboarding that say nothing against its code. */
const NOT_REFUSED = [
  'connected',
  'pending',
  'superseded',
  'interrupted',
  'gateway_error',
  'server_error',
  'unreadable_answer',
  'no_answer',
]

/**
 * Returns true when a link has brought too many codes that were refused, or are not decided yet:
 * each one costs a call with our credentials. The caller holds the lock of the link.
 */
export async function hasTooManyCodes(
  trx: Transaction<Tables>,
  linkId: string,
  browserHash: string,
): Promise<boolean> {
  const { rows } = await sql<{ ofBrowser: number; ofLink: number }>`
    select count(*)::int as "ofLink",
      (count(*) filter (where "browserHash" = ${browserHash}))::int as "ofBrowser"
    from amo_inbox
    where "linkId" = ${linkId}
      and "receivedAt" > now() - ${WINDOW_MINUTES} * interval '1 minute'
      and (outcome is null or outcome <> all(${NOT_REFUSED}::text[]))
  `.execute(trx)
  const { ofBrowser = 0, ofLink = 0 } = rows[0] ?? {}
  return ofBrowser >= MAX_REFUSED_PER_BROWSER || ofLink >= MAX_REFUSED_PER_LINK
}
