import type { Claim } from '../claims/claim.ts'
import { leaveUnresolved } from '../claims/leave-unresolved.ts'
import { moveAccount } from '../claims/move-account.ts'
import { releaseAtOnce } from '../claims/release-at-once.ts'
import { releaseWithBackoff } from '../claims/release-with-backoff.ts'
import { failpoint } from '../lib/failpoint.ts'
import type { ProbeResult } from '../provider/probe.ts'
import { REFUSALS, type RefusalCode } from '../provider/refusals.ts'
import { countRefusal } from './breaker.ts'
import type { NextStep, RefreshContext } from './context.ts'
import { finishDead } from './finish-dead.ts'
import { probeClaim } from './probe-claim.ts'
import { type SendResult, send } from './send.ts'
import { swapSecret } from './swap-secret.ts'

/**
 * Sends the token to the account's domain. If the account is not there any more, asks where it is
 * now (docs/provider.md, part 5) and sends once more, under the same claim. `finished`: the claim
 * was ended without a send to another domain.
 */
export async function sendToCurrentDomain(
  context: RefreshContext,
  claim: Claim,
  { isReclaimed }: { isReclaimed: boolean },
): Promise<SendResult | { kind: 'finished' }> {
  if (claim.domain === null) {
    const next = await followMove(context, claim, 'account_not_found', isReclaimed)
    if (next === 'finished') return { kind: 'finished' }
  }
  const result = await send(context, claim, claim.domain ?? '')
  if (result.kind !== 'refused' || REFUSALS[result.code].kind !== 'moved') return result
  const next = await followMove(context, claim, result.code, isReclaimed)
  return next === 'finished' ? { kind: 'finished' } : send(context, claim, claim.domain ?? '')
}

/**
 * Stores the account's new domain, or finishes the claim when there is none. A token that is dead
 * as well needs a new consent: no later try can find the account.
 */
async function followMove(
  context: RefreshContext,
  claim: Claim,
  code: RefusalCode,
  isReclaimed: boolean,
): Promise<NextStep> {
  const { claimContext } = context
  const probe = await probeClaim(context, claim)
  if ((await moveToProbedDomain(context, claim, probe)) === 'moved') return 'send'
  const isUnauthorized = code === 'unauthorized_without_hint'
  if (probe.state === 'dead') {
    const reason = isUnauthorized ? 'token_revoked' : 'account_gone'
    // An earlier owner's send may have spent it, and its response may still arrive (T7).
    if (isReclaimed) await leaveUnresolved(claimContext, claim, code)
    else await finishDead(context, claim, reason, 'refused')
    return 'finished'
  }
  if (!isUnauthorized) {
    await releaseWithBackoff(claimContext, claim, { code, outcome: 'refused' })
    return 'finished'
  }
  if (probe.state !== 'alive') {
    // A 401 without a hint proves nothing: only a later probe may let the token be sent again.
    await leaveUnresolved(claimContext, claim, code)
    return 'finished'
  }
  // The token and the domain are right, so it was the client that was refused.
  const refused = 'client_rejected'
  await countRefusal(context, claim, refused)
  if (await swapSecret(context, claim, refused)) await releaseAtOnce(claimContext, claim, refused)
  else await releaseWithBackoff(claimContext, claim, { code: refused, outcome: 'refused' })
  return 'finished'
}

/** Stores the domain that a probe found the account at, if it is another one. */
export async function moveToProbedDomain(
  context: RefreshContext,
  claim: Claim,
  probe: ProbeResult,
): Promise<'moved' | 'unchanged'> {
  if (probe.state !== 'alive') return 'unchanged'
  if (probe.domain === undefined || probe.domain === claim.domain) return 'unchanged'
  await moveAccount(context.claimContext, claim, probe.domain)
  failpoint('moved', claim)
  return 'moved'
}
