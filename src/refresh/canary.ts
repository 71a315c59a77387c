import { type Claim, logFields } from '../claims/claim.ts'
import { releaseUnsent } from '../claims/release-unsent.ts'
import { keepOpen } from './breaker.ts'
import type { NextStep, RefreshContext } from './context.ts'
import { probeClaim } from './probe-claim.ts'

/**
 * Probes a canary before it is sent, which spends nothing. If the provider cannot even answer that,
 * releases the claim and keeps the breaker open for longer. A canary whose token is dead is sent:
 * its refusal shows that the provider works. Other claims are not probed.
 */
export async function probeCanary(context: RefreshContext, claim: Claim): Promise<NextStep> {
  const { claimContext, provider, process } = context
  const { profile } = provider.integrations.get(claim.integration)
  if (!claim.isCanary || profile.probe === 'none') return 'send'
  const { state } = await probeClaim(context, claim)
  process.log.info({ ...logFields(claim), state }, 'canary probed')
  if (state !== 'unclear') return 'send'
  await keepOpen(claimContext, claim, 'no_answer')
  await releaseUnsent(claimContext, claim)
  return 'finished'
}
