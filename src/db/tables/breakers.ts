import type { ColumnType, Generated } from 'kysely'

/** A failure of the provider, as a breaker remembers it for a minute. */
export interface BreakerFailure {
  account: string
  code: string
  /** The token may have been spent. */
  isAmbiguous: boolean
  /** PostgreSQL's time, milliseconds since 1970. */
  atMs: number
}

/** The breakers and the views of those that are open. */
export interface BreakerTables {
  amo_breakers: {
    key: string
    failures: ColumnType<BreakerFailure[], string | undefined, string>
    openUntil: Date | null
    openedAt: Date | null
    reason: string | null
    openings: Generated<number>
    closedAt: Date | null
  }
  /** A view: open breakers, once for each integration that depends on them. */
  amo_open_breakers: {
    integration: string
    key: string
    openUntil: Date
    openedAt: Date
    reason: string
  }
  /** A view: the breakers that an integration depends on. */
  amo_breaker_scopes: {
    integration: string
    scope: 'platform' | 'integration'
    key: string
  }
}
