import { type Claim, logFields } from '../claims/claim.ts'
import { requireReauth } from '../claims/require-reauth.ts'
import { failpoint } from '../lib/failpoint.ts'
import type { FailureCode } from '../provider/failures.ts'
import { adoptParked } from './adopt-parked.ts'
import { commitJournaled } from './commit.ts'
import type { RefreshContext } from './context.ts'

/**
 * Ends a claim whose token is dead. Looks for its successor in the journal first, because a
 * failover may have lost its commit, and among the parked pairs (T3, T11). Without one, the account
 * becomes `reauth_required`.
 */
export async function finishDead(
  context: RefreshContext,
  claim: Claim,
  code: FailureCode,
  outcome: 'refused' | 'lost',
): Promise<void> {
  const { counters, log } = context.process
  if ((await commitJournaled(context, claim)) || (await adoptParked(context, claim))) return
  failpoint('requiring_reauth', claim)
  const isRequired = await requireReauth(context.claimContext, claim, code, outcome)
  failpoint('reauth_required', claim)
  if (!isRequired) return
  counters.reauthRequired.inc({ integration: claim.integration, code })
  log.error({ ...logFields(claim), code }, 'account must be authorized again')
}
