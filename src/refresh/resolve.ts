import { setTimeout as delay } from 'node:timers/promises'
import type { TokenVerdict } from '../provider/probe.ts'
import type { RefusalCode } from '../provider/refusals.ts'
import { countRefusal } from './breaker.ts'
import { type Claim, commitBudgetMs, nameOf } from './claim.ts'
import { condemn } from './condemn.ts'
import type { Engine } from './engine.ts'
import type { FailureCode } from './failures.ts'
import { handOver, holdBack, moveAccount, wasSentBefore } from './finish.ts'
import { adoptParked } from './parked.ts'
import { probeAfterSend, probeClaim } from './probe-claim.ts'
import { atStep } from './steps.ts'
import { storeKept } from './store-answer.ts'

/**
 * Step 7: whether a token that was sent by an owner that is gone, or without a clear answer, is still unspent. Asked after
 * the settle time, under the claim. Alive: it is sent again. Dead: a late answer gets its time, then the pair is lost.
 */
export async function isUnspent(engine: Engine, claim: Claim): Promise<boolean> {
  const { claimant, log } = engine
  if (await storeKept(engine, claim)) return false
  const verdict = await probeAfterSend(engine, claim)
  log.warn({ ...nameOf(claim), ...verdict }, 'unclear refresh probed')
  if (verdict.verdict === 'alive') {
    await moveIfElsewhere(engine, claim, verdict)
    return true
  }
  if (verdict.verdict === 'unclear') {
    await handOver(claimant, claim, 'no_answer')
    return false
  }
  await delay(commitBudgetMs(claimant))
  if (!(await storeKept(engine, claim))) await pronounce(engine, claim, 'pair_lost', 'lost')
  return false
}

/** Moved: asks where the account is now (provider page, part 5). True: it has a new host, try once more there. */
export async function followMove(
  engine: Engine,
  claim: Claim,
  code: RefusalCode,
): Promise<boolean> {
  const { claimant, integrations } = engine
  const verdict = await probeClaim(engine, claim)
  const isRefused = code === 'unauthorized_without_hint'
  if (await moveIfElsewhere(engine, claim, verdict)) return true
  if (isRefused && verdict.verdict === 'dead') {
    await pronounce(engine, claim, 'token_revoked', 'refused')
    return false
  }
  // Token and host are right: then it is the client that was refused.
  const isClient = isRefused && verdict.verdict === 'alive'
  if (isClient) {
    await integrations.recordRefusal(claim.integration, 'client_rejected', claim.secretMark ?? '')
    await countRefusal(engine, claim, 'client_rejected')
  }
  await holdBack(claimant, claim, isClient ? 'client_rejected' : code, 'refused')
  return false
}

/** Stores the host that a probe found the account at. False: it says nothing of another one. */
async function moveIfElsewhere(
  engine: Engine,
  claim: Claim,
  verdict: TokenVerdict,
): Promise<boolean> {
  if (verdict.verdict !== 'alive') return false
  if (verdict.domain === undefined || verdict.domain === claim.domain) return false
  await moveAccount(engine.claimant, claim, verdict.domain)
  atStep('moved', claim)
  return true
}

/** Permanent: believed only when the provider, asked again, does not say that the token lives. */
export async function condemnUnlessAlive(
  engine: Engine,
  claim: Claim,
  code: RefusalCode,
): Promise<void> {
  const { claimant, log } = engine
  const verdict = await probeClaim(engine, claim)
  if (verdict.verdict === 'alive') {
    log.error({ ...nameOf(claim), code }, 'refresh token refused but alive')
    return holdBack(claimant, claim, code, 'refused')
  }
  const isSpent = code === 'token_revoked'
  const isElsewhere = isSpent && !(await wasSentBefore(claimant, claim))
  if (isSpent && !isElsewhere) engine.counters.reuseSuspected.inc()
  return pronounce(engine, claim, isElsewhere ? 'spent_elsewhere' : code, 'refused')
}

/** Refused for a reason that no list has: held back when the token lives, and resolved like an unclear send when not. */
export async function holdBackIfAlive(
  engine: Engine,
  claim: Claim,
  code: RefusalCode,
): Promise<void> {
  const { verdict } = await probeClaim(engine, claim)
  if (verdict === 'alive') return holdBack(engine.claimant, claim, code, 'refused')
  return handOver(engine.claimant, claim, code)
}

async function pronounce(
  engine: Engine,
  claim: Claim,
  code: FailureCode,
  outcome: 'refused' | 'lost',
): Promise<void> {
  // A failover may have lost the commit of the answer to this token, or a newer pair may lie in the ledger.
  if ((await storeKept(engine, claim)) || (await adoptParked(engine, claim))) return
  atStep('condemning', claim)
  const isDone = await condemn(engine.claimant, claim, code, outcome)
  atStep('condemned', claim)
  if (!isDone) return
  engine.counters.condemned.inc({ integration: claim.integration, code })
  engine.log.error({ ...nameOf(claim), code }, 'account must be authorized again')
}
