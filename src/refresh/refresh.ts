import type { Claim } from '../claims/claim.ts'
import { logFields } from '../claims/claim.ts'
import type { ClaimRejection } from '../claims/claim-rejection.ts'
import type { Lane } from '../claims/pace.ts'
import { releaseUnsent } from '../claims/release-unsent.ts'
import { type AccountKey, keyText } from '../lib/account-key.ts'
import { beginTrace } from '../lib/spans.ts'
import { findFence } from '../pairs/fence.ts'
import { probeCanary } from './canary.ts'
import { claimWithLock } from './claim.ts'
import { classify } from './classify.ts'
import { commitJournaled } from './commit.ts'
import type { RefreshContext } from './context.ts'
import type { RefreshLane, RefreshResult } from './counters.ts'
import { finish } from './finish.ts'
import { sendToCurrentDomain } from './follow-move.ts'
import type { RefreshLock } from './lock.ts'
import { releaseBrokenOff } from './release-broken-off.ts'
import { resolve } from './resolve.ts'
import type { Waiters } from './waiters.ts'

/** The lanes of a refresh of one account. */
type ReaderLane = Extract<Lane, RefreshLane>

/** How a requested refresh ended: this process attempted it, or why it did not. */
export type RefreshEnd = 'attempted' | 'stopping' | ClaimRejection['reason']

/**
 * The refresh protocol, described in docs/refresh-protocol.md. A refresh token works once. The
 * steps are in this order, because other orders lose a pair, send a spent token, or require a new
 * consent for a healthy account.
 *
 * - claim     claim.ts     gets the right to send the token, for one process at a time
 * - resolve   resolve.ts   finds out what became of a token that was sent before
 * - send      send.ts      records the send, then sends the token once
 * - journal   journal.ts   writes the response to disk in the tick that read it, before anything
 *   else happens
 * - classify  classify.ts  decides what the response means for the token
 * - commit    commit.ts    puts the new pair into the row, however long that takes
 * - finish    finish.ts    ends the claim according to the classification
 */
export class Refresher {
  readonly #context: RefreshContext
  readonly #lock: RefreshLock
  readonly #waiters: Waiters
  readonly #flights = new Map<string, Promise<RefreshEnd>>()
  readonly #claims = new Set<Claim>()
  #isStopping = false

  constructor(context: RefreshContext, lock: RefreshLock, waiters: Waiters) {
    this.#context = context
    this.#lock = lock
    this.#waiters = waiters
  }

  /**
   * Refreshes the account unless it has another pair than that of `generation`. All callers of this
   * process share one flight, which goes on when they stop waiting. Resolves when any replica has
   * refreshed the account, or none can now. Rejects when the database fails.
   */
  refresh(key: AccountKey, generation: number, lane: ReaderLane): Promise<RefreshEnd> {
    const text = `${keyText(key)}/${generation}`
    let flight = this.#flights.get(text)
    if (flight === undefined) {
      const fields = { ...logFields({ ...key, generation }), lane }
      const run = () => this.#claimAndRefresh(key, generation, lane)
      flight = this.#context.process.inFlight.track(
        beginTrace('amo.refresh', fields, run, ({ outcome }) => outcome).then(({ end }) => end),
      )
      this.#flights.set(text, flight)
      const forget = () => this.#flights.delete(text)
      flight.then(forget, forget)
    }
    return flight
  }

  async #claimAndRefresh(
    key: AccountKey,
    generation: number,
    lane: ReaderLane,
  ): Promise<{ end: RefreshEnd; outcome: string }> {
    const claimer = {
      claimContext: this.#context.claimContext,
      lock: this.#lock,
      waiters: this.#waiters,
      isStopping: () => this.#isStopping,
    }
    const result = await claimWithLock(claimer, key, generation, lane)
    if (result.kind === 'rejected') return { end: result.reason, outcome: result.reason }
    await using _lock = result.lock
    const outcome = await this.#refreshClaimed(result.claim, Promise.resolve(), lane)
    return { end: 'attempted', outcome }
  }

  /**
   * Refreshes an account that this process has claimed, or reclaimed, once `turn` has come. `lane`
   * is for the metrics. Never rejects.
   */
  async refreshClaimed(
    claim: Claim,
    turn: Promise<void> = Promise.resolve(),
    lane: RefreshLane = 'reclaimed',
  ): Promise<void> {
    const fields = { ...logFields(claim), attempt: claim.attemptId }
    const run = () => this.#refreshClaimed(claim, turn, lane)
    await beginTrace('amo.refresh', fields, run, (outcome) => outcome)
  }

  #refreshClaimed(claim: Claim, turn: Promise<void>, lane: RefreshLane): Promise<RefreshResult> {
    this.#claims.add(claim)
    const steps = turn.then(() => this.#runSteps(claim, lane))
    const ended = steps
      .catch((err) => this.#breakOff(claim, err))
      .then(() => this.#context.process.counters.resultOf(claim))
    return this.#context.process.inFlight.track(
      ended.finally(() => {
        this.#claims.delete(claim)
      }),
    )
  }

  /**
   * An attempt whose send may have been recorded stays unfinished. The replica that reclaims it
   * finds out how far this one came.
   */
  async #breakOff(claim: Claim, err: unknown): Promise<void> {
    this.#context.process.log.error({ err, ...logFields(claim) }, 'refresh broke off')
    await releaseBrokenOff(this.#context, claim)
  }

  /** The attempts that this process works on. */
  get attempts(): number[] {
    return Array.from(this.#claims, ({ attemptId }) => attemptId)
  }

  async #runSteps(claim: Claim, lane: RefreshLane): Promise<void> {
    const context = this.#context
    using timing = new DisposableStack()
    timing.defer(context.process.counters.begin(claim, lane))
    const isReclaimed = claim.sendCount > 0

    if ((await resolve(context, claim)) === 'finished') return
    if (this.#isStopping) return releaseUnsent(context.claimContext, claim, isReclaimed)
    if ((await probeCanary(context, claim)) === 'finished') return

    const result = await sendToCurrentDomain(context, claim, { isReclaimed })
    if (result.kind === 'finished') return

    await finish(context, claim, classify(result, { isReclaimed }))
  }

  /**
   * Looks for a newer pair than the database has, after a caller has named a newer generation: the
   * database may have lost its commit (T11). Throws when a store does not answer.
   * @returns true when a journaled response was committed.
   */
  async recover(key: AccountKey): Promise<boolean> {
    const fence = await findFence(this.#context.commitContext.claims, key)
    return fence !== undefined && commitJournaled(this.#context, fence)
  }

  /** Returns the newest attempt whose response this replica has on disk; 0: none. */
  newestJournaled(key: AccountKey): number {
    return this.#context.responseJournal.newestAttempt(key)
  }

  /** Claims and sends nothing from now on. What was sent is finished. */
  stop(): void {
    this.#isStopping = true
    this.#waiters.wakeAll()
  }
}
