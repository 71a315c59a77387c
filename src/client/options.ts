import type { KeySource } from './broker-api.ts'
import type { AmoTokenEvent } from './events.ts'

export interface AmoTokenClientOptions {
  /** The broker's internal listener, such as `http://broker:3000`. */
  url: string
  /**
   * The client key, or a function that reads it. It is called again after a 401 from the broker.
   */
  key: KeySource
  /** For account names that fit accounts of several integrations. */
  integration?: string
  /** How long a call may take to get a token. Default 10,000. */
  timeoutMs?: number
  /** Origins besides the account's own that may get the token, such as the file service's. */
  trustedOrigins?: readonly string[]
  onEvent?: (event: AmoTokenEvent) => void
  /** Follow the broker's event stream where there is one. Default true. */
  followEvents?: boolean
  /** The `fetch` to use for the broker and the CRM. Default: the global one. */
  fetch?: typeof fetch
}

export interface CallOptions {
  /** Seconds that the token must live at least. The broker caps it: `warning: 'min_ttl_capped'`. */
  minTtlSeconds?: number
  integration?: string
  timeoutMs?: number
  signal?: AbortSignal | undefined
}

export type FetchOptions = Omit<CallOptions, 'signal'>
