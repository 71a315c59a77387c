import { type Claim, logFields } from '../claims/claim.ts'
import { commitBudgetMs } from '../claims/lease.ts'
import { leaveUnresolved } from '../claims/leave-unresolved.ts'
import { releaseUnsent } from '../claims/release-unsent.ts'
import { releaseWithBackoff } from '../claims/release-with-backoff.ts'
import { commitJournaled, commitJournaledIfReachable } from './commit.ts'
import type { NextStep, RefreshContext } from './context.ts'
import { finishDead } from './finish-dead.ts'
import { moveToProbedDomain } from './follow-move.ts'
import { probeAfterSend, probeClaim } from './probe-claim.ts'

/**
 * Step "resolve": makes sure that the token is unspent before it is sent, or finishes the claim
 * without sending it.
 */
export function resolve(context: RefreshContext, claim: Claim): Promise<NextStep> {
  if (claim.sendCount > 0) return resolveUnclearSend(context, claim)
  return claim.isRestored ? proveRestored(context, claim) : useJournaledResponse(context, claim)
}

/**
 * A pair from a backup or the escrow may have been replaced since. A journaled response is
 * committed instead, if one is found. Otherwise the provider is asked before the token is sent.
 */
async function proveRestored(context: RefreshContext, claim: Claim): Promise<NextStep> {
  const { claimContext } = context
  if (await commitJournaled(context, claim)) {
    await releaseUnsent(claimContext, claim)
    return 'finished'
  }
  const probe = await probeClaim(context, claim)
  context.process.log.info({ ...logFields(claim), ...probe }, 'restored token probed')
  switch (probe.state) {
    case 'alive':
      await moveToProbedDomain(context, claim, probe)
      return 'send'
    case 'unclear':
      // Without a probe, only the send itself can tell.
      if (probe.failure === 'NO_PROBE') return 'send'
      await releaseWithBackoff(claimContext, claim, { code: 'no_answer', outcome: 'not_sent' })
      return 'finished'
    case 'dead':
      await finishDead(context, claim, 'pair_lost', 'lost')
      return 'finished'
  }
}

/**
 * A token that was never sent may have a journaled response all the same, because a failover can
 * forget the attempt (T11). Redis is not waited for here: losing it costs latency only.
 */
async function useJournaledResponse(context: RefreshContext, claim: Claim): Promise<NextStep> {
  if (!(await commitJournaledIfReachable(context, claim))) return 'send'
  await releaseUnsent(context.claimContext, claim)
  return 'finished'
}

/**
 * Finds out what became of a token that was sent by an earlier owner, or without a clear result.
 * Runs under the claim, after the settle time. A token that is alive is sent again. For a dead one,
 * a late response gets the time of a commit; then the pair counts as lost (T7, T8).
 */
async function resolveUnclearSend(context: RefreshContext, claim: Claim): Promise<NextStep> {
  const { claimContext } = context
  if (await commitJournaled(context, claim)) return 'finished'
  const probe = await probeAfterSend(context, claim)
  const isSame = probe.state === 'unclear' && claim.unresolvedAs === 'no_answer'
  const level = isSame ? 'debug' : 'warn'
  context.process.log[level]({ ...logFields(claim), ...probe }, 'unclear refresh probed')
  switch (probe.state) {
    case 'alive':
      await moveToProbedDomain(context, claim, probe)
      return 'send'
    case 'unclear':
      await leaveUnresolved(claimContext, claim, 'no_answer')
      return 'finished'
    case 'dead':
      await claimContext.clock.sleep(commitBudgetMs(claimContext))
      if (!(await commitJournaled(context, claim)))
        await finishDead(context, claim, 'pair_lost', 'lost')
      return 'finished'
  }
}
