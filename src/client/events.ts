import type { AmoTokenError } from './error.ts'

/** The events that the client passes to `onEvent`. None contains a token. */
export type AmoTokenEvent =
  /**
   * The broker returned no token, so the cached one was used although its `useUntil` has passed.
   */
  | {
      type: 'cached_token_used'
      account: string | number
      generation: number
      error: AmoTokenError
    }
  /** The CRM responded 401, and the generation was reported to the broker. */
  | { type: 'reported'; account: string | number; generation: number }
  /** The report failed: the caller got the 401. */
  | { type: 'report_failed'; account: string | number; generation: number; error: unknown }
  /** The broker's event stream announced that a token died before its `useUntil`. */
  | { type: 'invalidated'; accountId: number; generation: number }
