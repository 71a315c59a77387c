import { CONNECT_LIMIT_MS } from '../provider/call.ts'
import type { Claim } from './claim.ts'
import type { ClaimContext } from './claim-context.ts'

/**
 * A commit takes less on a healthy database. With limits of seconds (tests, the demo) it gets as
 * long as a send.
 */
const MAX_COMMIT_BUDGET_MS = 10_000

/** Returns the part of a lease that is reserved for the commit after a response. */
export function commitBudgetMs({ limits }: ClaimContext): number {
  return Math.min(MAX_COMMIT_BUDGET_MS, limits.sendLimitMs)
}

/** Returns the time from the claim, or from the last send, until another replica may reclaim it. */
export function leaseMs(claimContext: ClaimContext): number {
  return CONNECT_LIMIT_MS + claimContext.limits.sendLimitMs + commitBudgetMs(claimContext)
}

/**
 * Returns whether enough of the lease is left for a response and its commit. To be asked in the
 * tick that writes the bytes: a process that was stopped after `recordSend` finds here that its
 * claim has expired (T6).
 */
export function hasLeaseForSend(claimContext: ClaimContext, claim: Claim): boolean {
  const neededMs = claimContext.limits.sendLimitMs + commitBudgetMs(claimContext)
  return claim.leaseEndsAtMs - claimContext.clock.nowMs() >= neededMs
}
