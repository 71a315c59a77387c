import { sql } from 'kysely'
import { Repeated } from '../repeated.ts'
import { readKept } from './answer.ts'
import { nameOf } from './claim.ts'
import { findToRecheck } from './claim-verdict.ts'
import type { Engine } from './engine.ts'
import { recheckCondemned } from './examine.ts'
import { storeParked } from './parked.ts'
import type { Refresher } from './refresh.ts'
import { clearRemoved } from './removed.ts'
import { atStep } from './steps.ts'
import { tryToStore } from './store-answer.ts'
import { takeOverClaims } from './take-over.ts'

const MAX_INTERVAL_MS = 10_000
const MIN_INTERVAL_MS = 500
/** Neither is paced: so few a sweep that they cannot make up a burst. */
const TAKE_OVER_BATCH = 10
const RECHECK_BATCH = 5
const PRUNE_AFTER_DAYS = 7
const PRUNE_BATCH = 1_000

/**
 * Finds what processes left that died, and what a failover or a wrong verdict undid: kept answers and parked pairs that
 * can be committed, claims whose lease ran out, condemned accounts that live. Every replica runs it, for ever.
 */
export class Sweeper {
  readonly #engine: Engine
  readonly #refresher: Refresher
  readonly #sweep: Repeated
  /** Apart, for it waits for the provider. */
  readonly #recheck: Repeated

  constructor(engine: Engine, refresher: Refresher) {
    this.#engine = engine
    this.#refresher = refresher
    const { settleMs } = engine.claimant
    const intervalMs = Math.min(MAX_INTERVAL_MS, Math.max(MIN_INTERVAL_MS, settleMs))
    this.#sweep = new Repeated('sweep', intervalMs, () => this.#run(), engine.log)
    this.#recheck = new Repeated('recheck', intervalMs, () => this.#recheckCondemned(), engine.log)
  }

  start(): void {
    this.#sweep.start()
    this.#recheck.start()
  }

  /** After a gap in what was heard of the database, which may have been a failover. */
  onGap(): void {
    this.#engine.keptAnswers.reopen()
  }

  async stop(): Promise<void> {
    await Promise.all([this.#sweep.stop(), this.#recheck.stop()])
  }

  /** What is kept comes first: it leaves nothing to ask the provider. */
  async #run(): Promise<void> {
    await this.#storeKept()
    await storeParked(this.#engine)
    await clearRemoved(this.#engine)
    await this.#takeOver()
    await this.#prune()
  }

  async #storeKept(): Promise<void> {
    const { keptAnswers, log } = this.#engine
    for await (const kept of keptAnswers.open()) {
      const answer = readKept(kept)
      try {
        if (answer !== undefined) await tryToStore(this.#engine, answer)
        // It may still hold what a person can read; a newer pair of the account removes it.
        else await keptAnswers.markSettled(kept)
      } catch (err) {
        log.error({ err, ...nameOf(kept) }, 'kept answer not committed yet')
      }
    }
  }

  async #takeOver(): Promise<void> {
    for (const claim of await takeOverClaims(this.#engine.claimant, TAKE_OVER_BATCH)) {
      atStep('taken_over', claim)
      this.#engine.counters.takeOvers.inc()
      this.#engine.log.warn({ ...nameOf(claim), sent: claim.sendCount }, 'refresh taken over')
      this.#refresher.carryOut(claim)
    }
  }

  async #recheckCondemned(): Promise<void> {
    for (const key of await findToRecheck(this.#engine.claimant, RECHECK_BATCH)) {
      await recheckCondemned(this.#engine, key)
    }
  }

  /** What was sent is remembered for a while, parked pairs until somebody needs them. */
  async #prune(): Promise<void> {
    await sql`
      delete from amo_refresh_attempts where id in (
        select id from amo_refresh_attempts
        where "parkedPair" is null and "finishedAt" < clock_timestamp() - ${PRUNE_AFTER_DAYS} * interval '1 day'
        limit ${PRUNE_BATCH})
    `.execute(this.#engine.committer.claims)
  }
}
