import { type Claim, logFields } from '../claims/claim.ts'
import { claimForProbe } from '../claims/claim-for-probe.ts'
import { disconnectAccount } from '../claims/disconnect-account.ts'
import { findRechecks } from '../claims/find-rechecks.ts'
import { finishProbe } from '../claims/finish-probe.ts'
import { postponeRecheck } from '../claims/postpone-recheck.ts'
import { releaseUnsent } from '../claims/release-unsent.ts'
import { reviveAccount } from '../claims/revive-account.ts'
import type { AccountKey } from '../lib/account-key.ts'
import { failpoint } from '../lib/failpoint.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'
import type { ProbeResult } from '../provider/probe.ts'
import { adoptParked } from './adopt-parked.ts'
import { commitJournaled } from './commit.ts'
import type { RefreshContext } from './context.ts'
import { probeClaim } from './probe-claim.ts'

/** Rechecks are not paced. So few per run cannot become a burst. */
const BATCH = 5

export type RecheckResult = ProbeResult['state']

/**
 * Probes accounts that are `reauth_required` again, when they are due for it (T10). A task of its
 * own, because it waits for the provider.
 */
export function recheckWork(context: RefreshContext, intervalMs: number): PeriodicWork {
  return {
    name: 'recheck',
    intervalMs,
    async run() {
      for (const key of await findRechecks(context.claimContext, BATCH)) {
        await recheckAccount(context, key)
      }
    },
  }
}

/**
 * Looks for a living pair of an account that is `reauth_required`: refusals and probes have been
 * wrong, a store that did not answer may answer again, and a parked pair may be alive. A living
 * pair revives the account. Nothing is spent. Does nothing while the account is claimed.
 */
async function recheckAccount(context: RefreshContext, key: AccountKey): Promise<void> {
  const { claimContext, process } = context
  const claim = await claimForProbe(claimContext, key)
  if (claim === undefined) return
  // A pair that was recovered moves the row on, so only the attempt is left to finish.
  if (await recoverPair(context, claim)) return releaseUnsent(claimContext, claim)
  const { state } = await probeClaim(context, claim)
  if (state !== 'alive') return postponeRecheck(claimContext, claim)
  failpoint('reviving', claim)
  if (!(await reviveAccount(claimContext, claim))) return
  process.counters.revived.inc()
  process.log.warn(logFields(claim), 'account that was reauth_required is alive')
}

async function recoverPair(context: RefreshContext, claim: Claim): Promise<boolean> {
  return (await commitJournaled(context, claim)) || (await adoptParked(context, claim))
}

/**
 * Probes an account because of a disconnect hook, and disconnects it when its token is dead. The
 * hook itself proves nothing, because it can be replayed for ever (docs/provider.md, part 8).
 * @returns undefined when the account is claimed at the moment: ask again later.
 */
export async function recheckAfterDisconnect(
  context: RefreshContext,
  key: AccountKey,
): Promise<RecheckResult | undefined> {
  const { claimContext, process } = context
  const claim = await claimForProbe(claimContext, key)
  if (claim === undefined) return undefined
  const { state } = await probeClaim(context, claim)
  if (state === 'dead' && (await disconnectAccount(claimContext, claim)))
    process.log.warn(logFields(claim), 'account was disconnected')
  else await finishProbe(claimContext, claim)
  return state
}
