import { type RawBuilder, sql } from 'kysely'
import { isBreakerClosed, leaseUntil } from './conditions.ts'

/**
 * A canary is probed before it is sent, and its lease is renewed by the send: reserve the time of
 * two leases.
 */
const CANARY_LEASES = 2

export type ClaimPurpose = 'refresh' | 'canary'

interface Gate {
  /** Checked before an account is locked. */
  isPassable: RawBuilder<boolean>
  /** Selects the `name` of the integration when the claim may be made. */
  pass(leaseMs: number): RawBuilder<unknown>
}

/**
 * The condition that the breakers set for a claim. For a refresh, none may be open; `recordSend`
 * catches one that opens later. For a canary, the time of every open breaker must be over. The
 * breakers are then kept open for the time of the canary, so that no second one is sent.
 */
export const GATES: Record<ClaimPurpose, Gate> = {
  refresh: {
    isPassable: isBreakerClosed,
    pass: () => sql`select name from paced`,
  },
  canary: {
    isPassable: sql`not exists (select from amo_open_breakers o
      where o.integration = t.integration and o."openUntil" > clock_timestamp())`,
    pass: (leaseMs) => sql`
      update amo_breakers b
      set "openUntil" = ${leaseUntil(CANARY_LEASES * leaseMs)}
      from paced join amo_breaker_scopes scopes on scopes.integration = paced.name
      where b.key = scopes.key and b."openUntil" <= clock_timestamp()
      returning paced.name`,
  },
}
