import type { TokenPair } from '../provider/token-endpoint.ts'
import type { Secret } from '../vault/secret.ts'

/** A callback that is validated. */
export interface Callback {
  /**
   * `consent`: by a link. `install`: inside the CRM. `exchange`: for an API key. `manual`: by an
   * operator.
   */
  origin: 'consent' | 'install' | 'exchange' | 'manual'
  integration: string
  code: Secret
  /** The account's host, which the profile allows. Null: the token endpoint needs none. */
  referer: string | null
  linkId?: string
  /** The browser that brought the code by a link. Codes are counted by link and browser. */
  browser?: string
  exchangeId?: string
}

/** The pair that a code brought, and PostgreSQL's time when the code was sent. */
export interface InboxPair {
  pair: TokenPair
  sentAt: Date
}
