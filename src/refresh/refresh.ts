import { type AccountKey, keyText } from '../accounts/account-key.ts'
import { REFUSALS } from '../provider/refusals.ts'
import { within } from '../within.ts'
import { isWorthSending } from './canary.ts'
import { type Claim, claimAccount, type Lane, leaseMs, nameOf } from './claim.ts'
import { findFence } from './commit.ts'
import type { Engine } from './engine.ts'
import { giveBack } from './finish.ts'
import type { RefreshLock } from './lock.ts'
import { type NotClaimed, whyNotClaimed } from './not-claimed.ts'
import { followMove, isUnspent } from './resolve.ts'
import { send } from './send.ts'
import { sortAnswer } from './sort.ts'
import { atStep } from './steps.ts'
import { storeKept, storeKeptIfReached } from './store-answer.ts'
import type { Waiters } from './waiters.ts'

/** Why a refresh that was asked for ended: it was done by this process, or why not. */
export type RefreshEnd = 'carried_out' | 'stopping' | NotClaimed['reason']

/** Between two looks at an account that another replica holds, or that the pace holds up; a change wakes earlier. */
const LOOK_AGAIN_MS = 500
/** The lock's holder has ended, or died, by then: what it did not notify of is found by looking. */
const LOCK_WAIT_MS = 2_000

/**
 * The refresh. A refresh token works once: everything here is in this order, and this way, because some other
 * order loses a pair, spends a token twice, or condemns a healthy account. Steps as in the README:
 * 1 coalesce · 2 Redis lock · 3 claim · 4 send · 5 keep · 6 sort · 7 resolve · 8 finish.
 */
export class Refresher {
  readonly #engine: Engine
  readonly #lock: RefreshLock
  readonly #waiters: Waiters
  readonly #flights = new Map<string, Promise<RefreshEnd>>()
  #isStopping = false

  constructor(engine: Engine, lock: RefreshLock, waiters: Waiters) {
    this.#engine = engine
    this.#lock = lock
    this.#waiters = waiters
  }

  /**
   * Step 1: one flight an account and process, whoever asks and however often, detached from who asked. Resolves when
   * the account has been refreshed by any replica, or cannot be now; `generation` is the one to be replaced.
   * Rejects when the database fails.
   */
  refresh(key: AccountKey, generation: number, lane: Lane): Promise<RefreshEnd> {
    const text = `${keyText(key)}/${generation}`
    let flight = this.#flights.get(text)
    if (flight === undefined) {
      flight = this.#engine.underWay.track(this.#fly(key, generation, lane))
      this.#flights.set(text, flight)
      const land = () => this.#flights.delete(text)
      flight.then(land, land)
    }
    return flight
  }

  /** Steps 2 and 3, again after every change of the account while another replica holds it. */
  async #fly(key: AccountKey, generation: number, lane: Lane): Promise<RefreshEnd> {
    const { claimant } = this.#engine
    const endMs = performance.now() + leaseMs(claimant)
    for (let isFirst = true; performance.now() < endMs; isFirst = false) {
      const changed = this.#waiters.next(key)
      const result = isFirst ? await this.#lock.tryTake(key) : ({ state: 'unavailable' } as const)
      if (result.state === 'held') {
        await within(changed, LOCK_WAIT_MS, undefined)
        continue
      }
      await using _lock = result.state === 'taken' ? result.lock : undefined
      if (result.state === 'taken') atStep('lock_taken', key)
      if (this.#isStopping) return 'stopping'
      const claim = await claimAccount(claimant, key, generation, lane)
      if (claim !== undefined) {
        atStep('claimed', claim)
        await this.carryOut(claim)
        return 'carried_out'
      }
      const why = await whyNotClaimed(claimant, key, generation)
      // A claim whose lease is over waits for its take-over, and so do we no longer.
      if (why.reason !== 'paced' && !(why.reason === 'held' && why.leaseLeftMs > 0))
        return why.reason
      await within(changed, LOOK_AGAIN_MS, undefined)
    }
    return 'held'
  }

  /** Steps 4 to 8 for a claim that is ours: made here, or taken over. Never throws. */
  carryOut(claim: Claim): Promise<void> {
    return this.#engine.underWay.track(
      this.#carryOut(claim).catch((error) => {
        // The claim stays: whoever takes it over after its lease finds out how far this one came.
        this.#engine.log.error({ err: error, ...nameOf(claim) }, 'refresh broke off')
      }),
    )
  }

  async #carryOut(claim: Claim): Promise<void> {
    const { claimant, counters } = this.#engine
    using timing = new DisposableStack()
    timing.defer(counters.refreshSeconds.startTimer())
    const isTakenOver = claim.sendCount > 0
    if (!(await this.#maySend(claim, isTakenOver))) return
    if (this.#isStopping) return giveBack(claimant, claim, isTakenOver)
    if (!(await isWorthSending(this.#engine, claim))) return
    if (claim.domain === null && !(await followMove(this.#engine, claim, 'account_not_found')))
      return
    const result = await send(this.#engine, claim, claim.domain ?? '')
    const isMoved = result.kind === 'refused' && REFUSALS[result.code].kind === 'moved'
    if (!isMoved) return sortAnswer(this.#engine, claim, result, isTakenOver)
    if (!(await followMove(this.#engine, claim, result.code))) return
    return sortAnswer(
      this.#engine,
      claim,
      await send(this.#engine, claim, claim.domain ?? ''),
      isTakenOver,
    )
  }

  /**
   * What was sent before needs proof that it is unspent. A token that was never sent may have a kept answer all the same:
   * the database that says so has lost a commit. Redis is not waited for then, for losing it costs latency alone.
   */
  async #maySend(claim: Claim, isTakenOver: boolean): Promise<boolean> {
    if (isTakenOver) return isUnspent(this.#engine, claim)
    if (!(await storeKeptIfReached(this.#engine, claim))) return true
    await giveBack(this.#engine.claimant, claim)
    return false
  }

  /**
   * Somebody knows a newer pair than the database, which lost its commit: commits what was kept of it. False: nothing
   * was. Throws when a store cannot be asked.
   */
  async recover(key: AccountKey): Promise<boolean> {
    const fence = await findFence(this.#engine.committer.claims, key)
    return fence !== undefined && storeKept(this.#engine, fence)
  }

  /** Claims and sends nothing from here on; what is on its way goes on. */
  stop(): void {
    this.#isStopping = true
    this.#waiters.wakeAll()
  }
}
