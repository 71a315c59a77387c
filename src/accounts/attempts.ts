import type { Kysely, Selectable } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { AccountKey } from '../lib/account-key.ts'

const COLUMNS = [
  'id',
  'generation',
  'owner',
  'purpose',
  'claimedAt',
  'sentAt',
  'sendCount',
  'finishedAt',
  'outcome',
  'outcomeCode',
  'steps',
] as const

/** A try to refresh an account, without the pair that it may have brought. */
export type Attempt = Pick<Selectable<Tables['amo_refresh_attempts']>, (typeof COLUMNS)[number]>

interface AttemptFilter {
  /** Only attempts before this one, where the previous page ended. */
  before?: number | undefined
  /** Only attempts that brought no pair, other than probes of a token that works. */
  failures?: boolean | undefined
}

/** Returns attempts of an account, the newest first. They are stored for ATTEMPT_DAYS. */
export function findAttempts(
  db: Kysely<Tables>,
  { integration, accountId }: AccountKey,
  { before, failures = false }: AttemptFilter,
  limit: number,
): Promise<Attempt[]> {
  return db
    .selectFrom('amo_refresh_attempts')
    .select(COLUMNS)
    .where('integration', '=', integration)
    .where('accountId', '=', accountId)
    .$if(before !== undefined, (query) => query.where('id', '<', before ?? 0))
    .$if(failures, (query) =>
      query.where(({ or, eb }) =>
        or([
          eb('outcome', 'in', ['refused', 'lost']),
          eb.and([eb('outcomeCode', 'is not', null), eb('outcomeCode', '!=', 'checked')]),
        ]),
      ),
    )
    .orderBy('id', 'desc')
    .limit(limit)
    .execute()
}
