import { setTimeout as delay } from 'node:timers/promises'
import { Repeated } from '../repeated.ts'
import { type Claim, claimCanaries, claimDueAccounts } from './claim.ts'
import type { Engine } from './engine.ts'
import type { Refresher } from './refresh.ts'
import { atStep } from './steps.ts'

const INTERVAL_MS = 500
/** Claims of one look; the pace bucket is the real bound. */
const BATCH = 50
/** Of this process, at any time: each holds a connection to the provider, none to the database. */
const MAX_UNDER_WAY = 200

/** Refreshes what is due. Every replica runs it; the claim alone shares the work among them. */
export class Scheduler {
  readonly #engine: Engine
  readonly #refresher: Refresher
  readonly #look: Repeated
  #underWay = 0

  constructor(engine: Engine, refresher: Refresher) {
    this.#engine = engine
    this.#refresher = refresher
    this.#look = new Repeated('due', INTERVAL_MS, () => this.#refreshDue(), engine.log)
  }

  start(): void {
    this.#look.start()
  }

  /** Claims nothing any more; what is claimed goes on. */
  stop(): Promise<void> {
    return this.#look.stop()
  }

  async #refreshDue(): Promise<void> {
    for (const { name, state } of this.#engine.integrations.all()) {
      if (state !== 'running') continue
      for (const lane of ['due', 'idle'] as const) {
        const room = Math.min(BATCH, MAX_UNDER_WAY - this.#underWay)
        if (room <= 0) break
        this.#carryOut(await claimDueAccounts(this.#engine.claimant, name, room, lane))
      }
    }
    this.#carryOut(await claimCanaries(this.#engine.claimant))
  }

  /**
   * Spread over the time until the next look: together, their answers would come together too, and a read would wait behind
   * them all. A claim can wait, for its lease is many times longer.
   */
  #carryOut(claims: Claim[]): void {
    for (const [nth, claim] of claims.entries()) {
      atStep('claimed', claim)
      this.#underWay += 1
      const turn = nth === 0 ? Promise.resolve() : delay((nth * INTERVAL_MS) / claims.length)
      const carriedOut = turn.then(() => this.#refresher.carryOut(claim))
      this.#engine.underWay.track(carriedOut).finally(() => {
        this.#underWay -= 1
      })
    }
  }
}
