import { failpoint } from '../lib/failpoint.ts'
import { type AttemptContext, attemptDelivery } from './attempt.ts'
import { type Claimed, claimDeliveries } from './claim.ts'
import { type AttemptResult, type Ending, finishDelivery, noteOnEndpoint } from './finish.ts'

/** Attempts of one replica to one endpoint at a time. */
const CONCURRENCY = 4
/** While an endpoint fails, it gets one attempt at a time, and waits for this long in between. */
const FAILING_PAUSE_MS = 200
/** A receiver can ask the lane to wait. It waits at most this long. */
const MAX_PAUSE_MS = 60_000

/** What lanes need from their owner. */
export interface LaneContext extends AttemptContext {
  deploymentId: string
  /** Returns an id that no other claim has. */
  newClaimId(): string
  random(): number
  sleep(ms: number): Promise<void>
  isStopping(): boolean
  onEnd(claimed: Claimed, result: AttemptResult, ending: Ending): void
  onDisabled(endpointId: string, reason: string): void
}

/**
 * Sends everything that is due for one endpoint, then ends. Each endpoint has its own lane, so that
 * a slow or a dead one delays no other.
 */
export async function runLane(context: LaneContext, endpointId: string): Promise<void> {
  const running = new Set<Promise<void>>()
  let isFailing = false
  let pauseMs = 0
  const attemptOne = async (claimed: Claimed) => {
    const result = await attemptAndFinish(context, claimed)
    isFailing = result.outcome === 'failed' || result.outcome === 'gone'
    const asked = (result.retryAfterSeconds ?? 0) * 1_000
    pauseMs = isFailing ? Math.min(Math.max(asked, FAILING_PAUSE_MS), MAX_PAUSE_MS) : 0
  }
  const claimSome = (limit: number): Promise<Claimed[]> => {
    const { deploymentId } = context
    const claim = { endpointId, deploymentId, owner: context.newClaimId(), limit }
    return claimDeliveries(context.database.db, claim)
  }
  try {
    while (!context.isStopping()) {
      const limit = (isFailing ? 1 : CONCURRENCY) - running.size
      for (const each of limit > 0 ? await claimSome(limit) : []) {
        failpoint('delivery_claimed')
        const attempt = attemptOne(each).finally(() => running.delete(attempt))
        running.add(attempt)
      }
      if (running.size === 0) return
      await Promise.race(running)
      if (isFailing) await context.sleep(pauseMs)
    }
  } finally {
    // Also when the database failed under one of them: their leases end by themselves.
    await Promise.allSettled(running)
  }
}

async function attemptAndFinish(context: LaneContext, claimed: Claimed): Promise<AttemptResult> {
  const { db } = context.database
  const result = await attemptDelivery(context, claimed)
  failpoint('delivery_attempted')
  const ending = await finishDelivery(db, claimed, result, context.random())
  failpoint('delivery_finished')
  context.onEnd(claimed, result, ending)
  const reason = await noteOnEndpoint(db, claimed.endpointId, result)
  if (reason) context.onDisabled(claimed.endpointId, reason)
  return result
}
