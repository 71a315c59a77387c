import type { Claim } from '../claims/claim.ts'
import { claimCanaries } from '../claims/claim-canaries.ts'
import type { ClaimContext } from '../claims/claim-context.ts'
import { claimDueAccounts } from '../claims/claim-due-accounts.ts'
import { failpoint } from '../lib/failpoint.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'
import type { RefreshLane } from './counters.ts'
import type { Refresher } from './refresh.ts'

const INTERVAL_MS = 500
/** Claims per integration, lane and run. The pace bucket is the real limit. */
const BATCH = 50
/**
 * Refreshes of this process at a time. Each has a connection to the provider, and none to the
 * database.
 */
const MAX_IN_FLIGHT = 200
/**
 * Claims per connection of the claim pool whose send is not recorded yet. More of them would wait
 * for a connection for longer than the pool allows: a distant database grants claims faster than it
 * records sends.
 */
const UNSENT_PER_CONNECTION = 3

/** The part of `RefreshContext` that the scheduler needs. */
interface SchedulerContext {
  claimContext: ClaimContext
  provider: { integrations: { all(): { name: string; state: string }[] } }
}

/**
 * Refreshes the accounts that are due. Every replica runs it, and only the claims share the work
 * among them.
 */
export class Scheduler implements PeriodicWork {
  readonly name = 'due'
  readonly intervalMs = INTERVAL_MS
  readonly #context: SchedulerContext
  readonly #refresher: Pick<Refresher, 'refreshClaimed'>
  readonly #maxUnsent: number
  readonly #inFlight = new Set<Claim>()

  /** `poolSize` is the number of connections for claims and commits. */
  constructor(
    context: SchedulerContext,
    refresher: Pick<Refresher, 'refreshClaimed'>,
    poolSize: number,
  ) {
    this.#context = context
    this.#refresher = refresher
    this.#maxUnsent = UNSENT_PER_CONNECTION * poolSize
  }

  async run(): Promise<void> {
    const { claimContext, provider } = this.#context
    for (const { name, state } of provider.integrations.all()) {
      if (state !== 'running') continue
      for (const lane of ['due', 'idle'] as const) {
        const room = Math.min(BATCH, this.#room())
        if (room <= 0) break
        this.#refreshAll(await claimDueAccounts(claimContext, name, room, lane), lane)
      }
    }
    this.#refreshAll(await claimCanaries(claimContext), 'canary')
  }

  /** Returns how many claims the pool can carry now. */
  #room(): number {
    const unsent = [...this.#inFlight].filter(({ sendCount }) => sendCount === 0).length
    return Math.min(MAX_IN_FLIGHT - this.#inFlight.size, this.#maxUnsent - unsent)
  }

  /**
   * Spreads the refreshes over the time until the next run. Otherwise their responses arrive
   * together, and a read waits behind them all. A claim can wait, because its lease is many times
   * longer.
   */
  #refreshAll(claims: Claim[], lane: RefreshLane): void {
    const { clock } = this.#context.claimContext
    for (const [nth, claim] of claims.entries()) {
      failpoint('claimed', claim)
      this.#inFlight.add(claim)
      const waitMs = (nth * INTERVAL_MS) / claims.length
      const turn = nth === 0 ? Promise.resolve() : clock.sleep(waitMs)
      this.#refresher.refreshClaimed(claim, turn, lane).finally(() => {
        this.#inFlight.delete(claim)
      })
    }
  }
}
