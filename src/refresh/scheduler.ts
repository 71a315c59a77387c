import type { Answer } from './answer.ts'
import { type Claim, claimDueAccounts } from './claim.ts'
import type { Engine } from './engine.ts'
import type { Refresher } from './refresh.ts'
import { tryToStore } from './store-answer.ts'
import { takeOverClaims } from './take-over.ts'

const DUE_INTERVAL_MS = 500
const MAX_SWEEP_INTERVAL_MS = 10_000
const MIN_SWEEP_INTERVAL_MS = 500
/** Claims of one look; the pace bucket is the real bound. */
const BATCH = 50
/** Take-overs are not paced: so few a sweep that they cannot make up a burst. */
const TAKE_OVER_BATCH = 10
/** A committed pair is kept on disk for a failover that forgets the commit; none forgets one that is so old. */
const KEPT_MS = 48 * 3600 * 1000
/** Of this process, at any time: each holds a connection to the provider, none to the database. */
const MAX_UNDER_WAY = 200

/**
 * Refreshes what is due, and sweeps up what a process left that died. Every replica runs it; the claim alone shares the
 * work among them.
 */
export class Scheduler {
  readonly #engine: Engine
  readonly #refresher: Refresher
  #timers: NodeJS.Timeout[] = []
  readonly #busy = new Map<string, Promise<void>>()
  #underWay = 0
  /** What of the spool is not committed yet; undefined until it was read. */
  #kept: Answer[] | undefined

  constructor(engine: Engine, refresher: Refresher) {
    this.#engine = engine
    this.#refresher = refresher
  }

  /** What was kept on disk is committed before any sweep: a kept answer leaves nothing to ask the provider. */
  start(): void {
    const sweepIntervalMs = Math.min(
      MAX_SWEEP_INTERVAL_MS,
      Math.max(MIN_SWEEP_INTERVAL_MS, this.#engine.claimant.settleMs),
    )
    const sweep = () =>
      this.#alone('sweep', async () => {
        await this.#commitKept()
        await this.#takeOver()
      })
    const due = () => this.#alone('due', () => this.#refreshDue())
    sweep()
    due()
    this.#timers = [setInterval(sweep, sweepIntervalMs), setInterval(due, DUE_INTERVAL_MS)]
    for (const timer of this.#timers) timer.unref()
  }

  /** Claims nothing any more; what is claimed goes on. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    await Promise.all([...this.#busy.values()])
  }

  /** One run of each work at a time, however long it takes. */
  #alone(work: string, run: () => Promise<void>): void {
    if (this.#busy.has(work)) return
    const running = run()
      .catch((err) => this.#engine.log.warn({ err, work }, 'scheduled work failed'))
      .finally(() => this.#busy.delete(work))
    this.#busy.set(work, running)
  }

  async #refreshDue(): Promise<void> {
    for (const { name, state } of this.#engine.integrations.all()) {
      const room = Math.min(BATCH, MAX_UNDER_WAY - this.#underWay)
      if (state !== 'running' || room <= 0) continue
      for (const claim of await claimDueAccounts(this.#engine.claimant, name, room))
        this.#carryOut(claim)
    }
  }

  #carryOut(claim: Claim): void {
    this.#underWay += 1
    this.#refresher.carryOut(claim).finally(() => {
      this.#underWay -= 1
    })
  }

  async #takeOver(): Promise<void> {
    const room = Math.min(TAKE_OVER_BATCH, MAX_UNDER_WAY - this.#underWay)
    if (room <= 0) return
    for (const claim of await takeOverClaims(this.#engine.claimant, room)) {
      this.#engine.log.warn(
        { integration: claim.integration, account: claim.accountId, sent: claim.sendCount },
        'refresh taken over',
      )
      this.#carryOut(claim)
    }
  }

  /** Answers that earlier processes left on this disk: committed now, or at a later sweep. */
  async #commitKept(): Promise<void> {
    const open = this.#kept ?? (await this.#readKept())
    this.#kept = []
    for (const answer of open) {
      try {
        const { result } = await tryToStore(this.#engine, answer)
        const isOld = Date.now() - answer.sentAtMs > KEPT_MS
        if (result === 'already' && isOld) await this.#engine.spool.forget(answer)
      } catch (err) {
        this.#kept.push(answer)
        this.#engine.log.error({ err, account: answer.accountId }, 'kept answer not committed yet')
      }
    }
  }

  async #readKept(): Promise<Answer[]> {
    const onBroken = (file: string, err: unknown) =>
      this.#engine.log.error({ err, file }, 'kept answer cannot be read')
    return Array.fromAsync(this.#engine.spool.entries(onBroken))
  }
}
