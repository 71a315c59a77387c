import { keepOpen } from './breaker.ts'
import { type Claim, nameOf } from './claim.ts'
import type { Engine } from './engine.ts'
import { giveBack } from './finish.ts'
import { probeClaim } from './probe-claim.ts'

/**
 * A canary is probed before it is sent, which spends nothing: a provider that cannot even answer that gets no token, and the
 * breaker stays open for longer. Its token may well be dead: then the refusal shows that the provider works. False: given back.
 */
export async function isWorthSending(engine: Engine, claim: Claim): Promise<boolean> {
  const { claimant, integrations, log } = engine
  if (!claim.isCanary || integrations.get(claim.integration).profile.probe === 'none') return true
  const { verdict } = await probeClaim(engine, claim)
  log.info({ ...nameOf(claim), verdict }, 'canary probed')
  if (verdict !== 'unclear') return true
  await keepOpen(claimant, claim, 'no_answer')
  await giveBack(claimant, claim)
  return false
}
