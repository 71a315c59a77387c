import { REFUSALS } from '../provider/refusals.ts'
import { countRefusal, countSuccess } from './breaker.ts'
import { type Claim, nameOf } from './claim.ts'
import type { Engine } from './engine.ts'
import { giveBack, handOver, holdBack } from './finish.ts'
import { condemnUnlessAlive, holdBackIfAlive } from './resolve.ts'
import type { SendResult } from './send.ts'
import { storeAnswer, storeLate } from './store-answer.ts'

/** Step 6: what the answer means for the token that was sent (`REFUSALS`, provider page part 3). */
export async function sortAnswer(
  engine: Engine,
  claim: Claim,
  result: SendResult,
  isTakenOver: boolean,
): Promise<void> {
  const { claimant, log, integrations, counters } = engine
  const count = (end: string) => counters.ends.inc({ integration: claim.integration, end })
  if (result.kind === 'pair') {
    const { result: end } = await storeAnswer(engine, result.answer)
    count(end)
    if (end !== 'foreign') return countSuccess(engine, claim)
    await countRefusal(engine, claim, 'unreadable_answer')
    return handOver(claimant, claim, 'unreadable_answer')
  }
  if (result.kind === 'not_ours') return giveBack(claimant, claim, isTakenOver)
  if (result.kind === 'timed_out') {
    storeLate(engine, result.late)
    log.warn(nameOf(claim), 'refresh not answered in time')
    count('no_answer')
    await countRefusal(engine, claim, 'no_answer')
    return handOver(claimant, claim, 'no_answer')
  }
  log.warn({ ...nameOf(claim), ...result }, 'refresh refused')
  count(result.kind === 'refused' ? result.code : 'not_reached')
  // Before the claim is let go: the slot that it leaves must find the breaker open.
  await countRefusal(engine, claim, result.kind === 'refused' ? result.code : 'not_reached')
  if (result.kind === 'not_written') return holdBack(claimant, claim, 'not_reached', 'not_sent')
  const { code, retryAfterSeconds } = result
  switch (REFUSALS[code].kind) {
    case 'permanent':
      // Where an owner before us sent it too, that send may have spent it, and its answer may still come.
      return isTakenOver ? handOver(claimant, claim, code) : condemnUnlessAlive(engine, claim, code)
    case 'configuration':
      await integrations.recordRefusal(claim.integration, code, claim.secretMark ?? '')
      return holdBack(claimant, claim, code, 'refused')
    case 'not_spent':
    case 'moved':
      return holdBack(claimant, claim, code, 'refused', retryAfterSeconds)
    case 'unknown':
      log.error({ ...nameOf(claim), code }, 'refusal of an unknown kind')
      return holdBackIfAlive(engine, claim, code)
    case 'ambiguous':
      return handOver(claimant, claim, code)
  }
}
