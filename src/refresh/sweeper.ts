import { sql } from 'kysely'
import { logFields } from '../claims/claim.ts'
import { reclaimExpired } from '../claims/reclaim-expired.ts'
import { releaseUnknown } from '../claims/release-unknown.ts'
import { failpoint } from '../lib/failpoint.ts'
import { FailureChange } from '../lib/failure-change.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'
import { pairOfResponse } from '../pairs/received-pair.ts'
import { clearRemovedAccounts } from './clear-removed.ts'
import { commitOnce } from './commit.ts'
import { commitParked } from './commit-parked.ts'
import type { RefreshContext } from './context.ts'
import type { Refresher } from './refresh.ts'

const MAX_INTERVAL_MS = 10_000
const MIN_INTERVAL_MS = 500
/** Reclaimed attempts are not paced. So few per sweep cannot become a burst. */
const RECLAIM_BATCH = 10
const PRUNE_BATCH = 1_000

/** Returns the interval of the sweeps, and of the rechecks: the settle time, within limits. */
export function sweepIntervalMs({ claimContext }: RefreshContext): number {
  return Math.min(MAX_INTERVAL_MS, Math.max(MIN_INTERVAL_MS, claimContext.limits.settleMs))
}

/**
 * Repairs what processes that died have left, and what a failover has undone: commits journaled
 * responses and parked pairs, and reclaims expired attempts. Every replica runs it, for ever (T4).
 */
export class Sweeper implements PeriodicWork {
  readonly name = 'sweep'
  readonly intervalMs: number
  readonly #context: RefreshContext
  readonly #refresher: Refresher
  readonly #attemptDays: number
  /** Commits that fail, by the id of their attempt. */
  readonly #failures = new Map<number, FailureChange>()

  /** `attemptDays`: how long finished attempts are kept. */
  constructor(context: RefreshContext, refresher: Refresher, attemptDays: number) {
    this.#attemptDays = attemptDays
    this.#context = context
    this.#refresher = refresher
    this.intervalMs = sweepIntervalMs(context)
  }

  /** The journal comes first: a committed response leaves nothing to ask the provider. */
  async run(): Promise<void> {
    await this.#commitJournaled()
    await commitParked(this.#context)
    await clearRemovedAccounts(this.#context)
    await releaseUnknown(this.#context.claimContext, this.#refresher.attempts)
    await this.#reclaim()
    await this.#prune()
  }

  async #commitJournaled(): Promise<void> {
    const { responseJournal, process } = this.#context
    for await (const response of responseJournal.openResponses()) {
      const received = pairOfResponse(response)
      try {
        if (received !== undefined) await commitOnce(this.#context, received)
        // Without a pair, it may still help a person. A newer pair of the account removes it.
        else await responseJournal.markSettled(response)
        this.#failures.delete(response.attemptId)
      } catch (err) {
        const fields = { err, ...logFields(response) }
        const level = this.#isNew(response, err) ? 'error' : 'debug'
        process.log[level](fields, 'journaled response not committed yet')
      }
    }
  }

  /** Returns whether this response could be committed before, or failed for another cause. */
  #isNew({ attemptId }: { attemptId: number }, err: unknown): boolean {
    const failure = this.#failures.get(attemptId) ?? new FailureChange()
    this.#failures.set(attemptId, failure)
    return failure.isNew(err)
  }

  async #reclaim(): Promise<void> {
    const { claimContext, process } = this.#context
    for (const claim of await reclaimExpired(claimContext, RECLAIM_BATCH)) {
      failpoint('reclaimed', claim)
      process.counters.reclaims.inc()
      // An unclear send is reclaimed again and again while the provider does not answer.
      const level = claim.unresolvedAs === null ? 'warn' : 'debug'
      const fields = { ...logFields(claim), sent: claim.sendCount, code: claim.unresolvedAs }
      process.log[level](fields, 'expired claim reclaimed')
      this.#refresher.refreshClaimed(claim)
    }
  }

  /** Deletes finished attempts after a while. Attempts with a parked pair stay. */
  async #prune(): Promise<void> {
    await sql`
      delete from amo_refresh_attempts where id in (
        select id from amo_refresh_attempts
        where "parkedPair" is null and "finishedAt" < now() - ${this.#attemptDays} * interval '1 day'
        limit ${PRUNE_BATCH})
    `.execute(this.#context.commitContext.claims)
  }
}
