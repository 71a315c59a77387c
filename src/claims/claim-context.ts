import type { Kysely } from 'kysely'
import type { Tables } from '../db/tables.ts'
import type { Clock } from '../lib/clock.ts'

/** The dependencies of every statement on a claim. */
export interface ClaimContext {
  claims: Kysely<Tables>
  /**
   * The id of this process start: a restarted process owns none of the claims that it owned before
   * (R10).
   */
  owner: string
  /** Null when this process must not send: then it claims nothing. */
  deploymentId: string | null
  /**
   * The encryption keys that are loaded. An account whose token is sealed under another key is not
   * claimed.
   */
  keyIds: string[]
  limits: RefreshLimits
  /**
   * Returns whether a response would have a second place beside the database: the disk of this
   * process, or Redis.
   */
  hasSecondPlace: () => boolean
  /**
   * Returns whether the database may have forgotten commits that are not repaired yet. Then nothing
   * is claimed.
   */
  hasGap: () => boolean
  clock: Clock
}

interface RefreshLimits {
  /** From the first byte of a send to the end of the step. */
  sendLimitMs: number
  /** How much longer a response is read after that. Hanging up would lose the pair (T1). */
  lingerMs: number
  /**
   * How long a sent token is left alone before its state is probed: the request may still be
   * processed (T9).
   */
  settleMs: number
  /** How long a breaker stays open the first time. */
  breakerMs: number
  /** A token with less time left is handed out to nobody (MIN_REST_MS). */
  minRestMs: number
}
