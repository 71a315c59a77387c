import type { AccountKey } from '../lib/account-key.ts'
import type { ProbeResult } from '../provider/probe.ts'

/** The right to refresh one account, and the only token that may be sent under it. */
export interface Claim extends AccountKey {
  attemptId: number
  generation: number
  fingerprint: string
  /**
   * Sealed, and read from the locked row: no token that was read earlier or later is ever sent
   * (R2).
   */
  refreshToken: string
  domain: string | null
  apiDomain: string | null
  /**
   * How often the token has been sent under this claim, as far as this process knows. A process
   * that was stopped may reclaim its own claim, and then owns it twice. The slower of the two finds
   * another count and does nothing.
   */
  sendCount: number
  /**
   * Whether the token may be sent through an open breaker, once a probe shows that the provider
   * works again.
   */
  isCanary: boolean
  /** The pair comes from a backup or the escrow, and a newer one may exist. */
  isRestored: boolean
  /**
   * Why the send before a reclaim had no clear result. Null: its process did not get as far as to
   * record that.
   */
  unresolvedAs?: string | null
  /**
   * What the last probe of the token said, since the last send under this claim. Undefined: it was
   * not probed. Written into the steps of the attempt.
   */
  probed?: ProbeResult['state'] | undefined
  /** Identifies the client secret that the token was last sent with. */
  secretMark?: string
  /**
   * When the lease ends by `Clock.nowMs`. Counted from before the statement was sent, so that it
   * ends here no later than in the database.
   */
  leaseEndsAtMs: number
}

/** Returns the log fields that identify a claim or a received pair. */
export function logFields({
  integration,
  accountId,
  generation,
}: AccountKey & { generation: number }) {
  return { integration, account: accountId, generation }
}
