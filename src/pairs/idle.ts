import { sql } from 'kysely'

/**
 * An account that was read within these days is refreshed ahead of time: the load follows the use,
 * not the size.
 */
const IDLE_AFTER_DAYS = 7

/** Whether an account is in use. A new account counts as read when it was created. */
export const isInUse = sql<boolean>`(greatest("lastReadAt", "createdAt")
  > clock_timestamp() - ${IDLE_AFTER_DAYS} * interval '1 day')`
