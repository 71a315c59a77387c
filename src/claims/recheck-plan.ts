import { type RawBuilder, sql } from 'kysely'

/**
 * Refusals and probes have been wrong before, so an account that is `reauth_required` is probed
 * again: minutes, hours, days.
 */
const RECHECK_AFTER_SECONDS = [120, 600, 3_600, 6 * 3_600, 24 * 3_600]

/** Returns when an account is probed again after so many probes, spread by 25 %. */
export function recheckAt(times: RawBuilder<unknown>): RawBuilder<unknown> {
  const waits = sql`${RECHECK_AFTER_SECONDS}::float8[]`
  return sql`clock_timestamp() + interval '1 second' * (0.75 + random() / 2)
    * (${waits})[least(${times}, ${RECHECK_AFTER_SECONDS.length})]`
}
