import type { AccountKey } from '../accounts/account-key.ts'
import { type Claim, nameOf } from './claim.ts'
import { claimForVerdict } from './claim-verdict.ts'
import type { Engine } from './engine.ts'
import { disconnect, endCheck, giveBack, recheckLater, revive } from './finish.ts'
import { adoptParked } from './parked.ts'
import { probeClaim } from './probe-claim.ts'
import { atStep } from './steps.ts'
import { storeKept } from './store-answer.ts'

export type Verdict = 'alive' | 'dead' | 'unclear' | 'recovered'

/**
 * Looks again at an account that was condemned: refusals and probes have been wrong, a store that could not be asked may
 * be back, a parked pair may live. Whatever lives revives it; nothing is spent. Does nothing while it is held.
 */
export async function recheckCondemned(engine: Engine, key: AccountKey): Promise<void> {
  const { claimant, log } = engine
  const claim = await claimForVerdict(claimant, key)
  if (claim === undefined) return
  const verdict = await lookAt(engine, claim)
  // The row has a newer pair, so the claim has nothing to end but itself.
  if (verdict === 'recovered') return giveBack(claimant, claim)
  if (verdict !== 'alive') return recheckLater(claimant, claim)
  atStep('reviving', claim)
  if (!(await revive(claimant, claim))) return
  engine.counters.revived.inc()
  log.warn(nameOf(claim), 'condemned account lives')
}

/**
 * The verdict that a disconnect hook asks for (provider page, part 8): the hook itself is no proof, for it can be replayed
 * for ever. Undefined: the account is refreshed at this moment; ask again later.
 */
export async function examineDisconnect(
  engine: Engine,
  key: AccountKey,
): Promise<Verdict | undefined> {
  const { claimant, log } = engine
  const claim = await claimForVerdict(claimant, key)
  if (claim === undefined) return undefined
  const { verdict } = await probeClaim(engine, claim)
  if (verdict === 'dead' && (await disconnect(claimant, claim)))
    log.warn(nameOf(claim), 'account was disconnected')
  else await endCheck(claimant, claim)
  return verdict
}

async function lookAt(engine: Engine, claim: Claim): Promise<Verdict> {
  if ((await storeKept(engine, claim)) || (await adoptParked(engine, claim))) return 'recovered'
  return (await probeClaim(engine, claim)).verdict
}
