import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { InboxRow } from './inbox.ts'

/** What operators see of an onboarding. */
export type OnboardingRow = Pick<
  InboxRow,
  | 'id'
  | 'origin'
  | 'integration'
  | 'referer'
  | 'linkId'
  | 'outcome'
  | 'accountId'
  | 'domain'
  | 'receivedAt'
  | 'presentedAt'
  | 'finishedAt'
>

/**
 * Lists onboardings that began before a time, the newest first: callbacks that were stored, and
 * consents that were refused before that.
 */
export async function listOnboardings(
  db: Kysely<Tables>,
  before: Date | undefined,
  limit: number,
): Promise<OnboardingRow[]> {
  const olderThan = (column: RawBuilder<unknown>) =>
    before === undefined ? sql`` : sql`and ${column} < ${before}`
  const { rows } = await sql<OnboardingRow>`
    select * from (
      (select ${STORED} from amo_inbox
       where kind = 'callback' ${olderThan(sql`"receivedAt"`)}
       order by "receivedAt" desc limit ${limit})
      union all
      (select ${REFUSED} from amo_connect_links
       where problem is not null ${olderThan(sql`"problemAt"`)}
       order by "problemAt" desc limit ${limit})
    ) o order by "receivedAt" desc limit ${limit}
  `.execute(db)
  return rows
}

/**
 * Finds the last consent of a link that was refused. Its id is that of the link, because nothing
 * else was stored.
 */
export async function findRefusedConsent(
  db: Kysely<Tables>,
  linkId: string,
): Promise<OnboardingRow | undefined> {
  const { rows } = await sql<OnboardingRow>`
    select ${REFUSED} from amo_connect_links where id = ${linkId} and problem is not null
  `.execute(db)
  return rows[0]
}

const STORED = sql`id, origin, integration, referer, "linkId", outcome, "accountId", domain,
  "receivedAt", "presentedAt", "finishedAt"`

/** The columns of `STORED`. The integration of a button is unknown before its secrets arrive. */
const REFUSED = sql`id, 'consent' as origin, coalesce(integration, 'external') as integration,
  null::text as referer, id as "linkId", problem as outcome, null::bigint as "accountId",
  null::text as domain, "problemAt" as "receivedAt", null::timestamptz as "presentedAt",
  "problemAt" as "finishedAt"`
