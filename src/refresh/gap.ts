import { sql } from 'kysely'
import { logFields } from '../claims/claim.ts'
import { isBehind } from '../claims/ledger-age.ts'
import { FailureChange } from '../lib/failure-change.ts'
import { isOnNewTimeline, raiseGenerations } from '../pairs/fence.ts'
import { pairOfResponse, type ReceivedPair } from '../pairs/received-pair.ts'
import { commitOnce } from './commit.ts'
import { commitParked } from './commit-parked.ts'
import type { RefreshContext } from './context.ts'

/**
 * Why commits may have been forgotten. `started`: this process was away, perhaps during a failover.
 * `reconnected`: LISTEN began anew, perhaps on another server. `timeline`: PostgreSQL was promoted
 * or replaced. `adopted`: the database was bound to this deployment, so it may be a restored one.
 */
export type GapKind = 'started' | 'reconnected' | 'timeline' | 'adopted'

const RETRY_MS = 500
const MAX_ATTEMPTS = 5
/** Generations per query. */
const BATCH = 1_000
/**
 * After a gap, the other replicas commit what only their disks have. A claim that is earlier would
 * send a token that is spent.
 */
const OTHERS_MS = 1_500

/**
 * Repairs what the database may have forgotten, before anything is claimed: commits the journaled
 * responses that fit again (T11), and makes sure that no generation is used twice.
 */
export class Gap {
  readonly #context: RefreshContext
  /** Failed commits by the id of their attempt. */
  readonly #attempts = new Map<number, number>()
  /** That of the last gap. */
  #kind: GapKind = 'started'
  #opened = 0
  #repaired = 0

  constructor(context: RefreshContext) {
    this.#context = context
  }

  /** While this is true, nothing may be claimed. */
  get isOpen(): boolean {
    return this.#repaired < this.#opened
  }

  /** Opens all journaled responses again and repairs the database in the background. */
  onGap(kind: GapKind): void {
    const { responseJournal, process } = this.#context
    responseJournal.reopen()
    const isFirst = !this.isOpen
    this.#kind = kind
    this.#opened += 1
    if (isFirst) process.inFlight.track(this.#repairAll())
  }

  /** Repairs until no gap has opened meanwhile. */
  async #repairAll(): Promise<void> {
    const { clock } = this.#context.claimContext
    const failure = new FailureChange()
    while (this.isOpen) {
      const opened = this.#opened
      const kind = this.#kind
      try {
        const isCertain = await this.#repair(kind)
        if (isCertain) await clock.sleep(OTHERS_MS)
        this.#attempts.clear()
        this.#repaired = opened
      } catch (err) {
        const level = failure.isNew(err) ? 'warn' : 'debug'
        this.#context.process.log[level]({ err, kind }, 'gap not repaired yet')
        await clock.sleep(RETRY_MS)
      }
    }
  }

  /** Returns whether the database may have forgotten commits that other replicas know. */
  async #repair(kind: GapKind): Promise<boolean> {
    const { claimContext, responseJournal, process } = this.#context
    if (claimContext.deploymentId === null) return false
    const known = await responseJournal.greatest().catch(() => ({ generation: 0, attemptId: 0 }))
    const isRestored = kind === 'started' && (await isBehind(claimContext.claims, known.attemptId))
    if (isRestored) process.log.warn(known, 'the database is older than the journal')
    const isCertain =
      kind !== 'started' || isRestored || (await isOnNewTimeline(claimContext.claims))
    await raiseGenerations(claimContext.claims, known.generation, { isCertain })
    const committed = await this.#commitFitting()
    await commitParked(this.#context)
    if (committed > 0) process.log.warn({ kind, committed }, 'responses committed after a gap')
    return isCertain
  }

  /**
   * Throws when the database fails, so that the repair is repeated. A response that fails again and
   * again is left to the sweeps: it must not stop all accounts.
   */
  async #commit(received: ReceivedPair): Promise<boolean> {
    try {
      await commitOnce(this.#context, received)
      return true
    } catch (err) {
      const attempts = (this.#attempts.get(received.attemptId) ?? 0) + 1
      this.#attempts.set(received.attemptId, attempts)
      if (attempts < MAX_ATTEMPTS) throw err
      this.#context.process.log.error(
        { err, ...logFields(received) },
        'response left to the sweeps',
      )
      return false
    }
  }

  /** Commits the responses whose row is back at the pair that they came of. */
  async #commitFitting(): Promise<number> {
    const { claimContext, responseJournal } = this.#context
    const generations = responseJournal.openGenerations()
    let committed = 0
    for (let start = 0; start < generations.length; start += BATCH) {
      const batch = generations.slice(start, start + BATCH)
      const { rows } = await sql<{ generation: number }>`
        select generation from amo_tokens where generation = any(${batch}::bigint[])
      `.execute(claimContext.claims)
      const fitting = new Set(rows.map(({ generation }) => generation))
      for await (const response of responseJournal.openOf(fitting)) {
        const received = pairOfResponse(response)
        if (received === undefined) continue
        if (await this.#commit(received)) committed += 1
      }
    }
    return committed
  }
}
