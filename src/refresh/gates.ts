import { type RawBuilder, sql } from 'kysely'

/** A canary's own lease begins with its send; before that it is probed. */
const CANARY_LEASES = 2

interface Gate {
  /** Looked at before an account is locked. */
  isPassable: RawBuilder<boolean>
  /** Passed by those who may have a claim: `name` is the integration. */
  pass(leaseMs: number): RawBuilder<unknown>
}

/**
 * What the breakers say. A refresh: none is open; one that opens meanwhile is met by `recordSend`. A canary: all that are open
 * have had their time, and are kept open for as long as it may take, so that no second one goes.
 */
export const GATES: Record<'refresh' | 'canary', Gate> = {
  refresh: {
    isPassable: sql`not exists (select from amo_open_breakers o where o.integration = t.integration)`,
    pass: () => sql`select name from paced`,
  },
  canary: {
    isPassable: sql`not exists (select from amo_open_breakers o
      where o.integration = t.integration and o."openUntil" > clock_timestamp())`,
    pass: (leaseMs) => sql`
      update amo_breakers b
      set "openUntil" = clock_timestamp() + ${CANARY_LEASES * leaseMs} * interval '1 millisecond'
      from paced join amo_breaker_scopes scopes on scopes.integration = paced.name
      where b.key = scopes.key and b."openUntil" <= clock_timestamp()
      returning paced.name`,
  },
}
