import { setTimeout as delay } from 'node:timers/promises'
import type { Counter } from '@prometheus-io/client'
import type { Logger } from 'pino'
import { isStorageFailure } from '../db/failures.ts'
import { FailureChange } from '../lib/failure-change.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'
import type { AttemptContext } from './attempt.ts'
import { findDueEndpoints } from './claim.ts'
import type { AttemptResult } from './finish.ts'
import { type LaneContext, runLane } from './lane.ts'

/** Notifications start a run earlier. This finds retries, and what notifications missed. */
const INTERVAL_MS = 1_000

interface SendersDependencies extends AttemptContext {
  /** The deployment that the database must belong to. Null: this process sends nothing. */
  deploymentId: string | null
  /** The id of this process start. */
  owner: string
  attempts: Counter<'outcome'>
  log: Logger
}

/**
 * Delivers messages to endpoints. Every replica does; leases keep them from doing the same work.
 */
export class Senders implements PeriodicWork {
  readonly name = 'deliveries'
  readonly intervalMs = INTERVAL_MS
  readonly #with: SendersDependencies
  readonly #lanes = new Map<string, Promise<void>>()
  /** Tracks the endpoints that fail, by id, so that each cause is logged once. */
  readonly #failures = new Map<string, FailureChange>()
  readonly #stopping = new AbortController()
  #claims = 0
  #waking: Promise<void> | undefined

  constructor(dependencies: SendersDependencies) {
    this.#with = dependencies
  }

  /** Starts a lane for each endpoint that something is due for and that has none. */
  async run(): Promise<void> {
    const { database, deploymentId } = this.#with
    if (deploymentId === null || this.#stopping.signal.aborted) return
    for (const endpointId of await findDueEndpoints(database.db, deploymentId)) {
      if (!this.#lanes.has(endpointId)) this.#startLane(endpointId, deploymentId)
    }
  }

  /** Runs now: there may be something to send. */
  wake(): void {
    const { database, log } = this.#with
    if (!database.storage.canWrite()) return
    this.#waking ??= this.run()
      .catch((err) => log.debug({ err }, 'deliveries did not start'))
      .finally(() => {
        this.#waking = undefined
      })
  }

  /** Claims nothing more, and waits for the attempts that are running. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#lanes.values())
  }

  #startLane(endpointId: string, deploymentId: string): void {
    const { log } = this.#with
    const lane = runLane(this.#laneContext(deploymentId), endpointId)
      .catch((err) => {
        const level = isStorageFailure(err) ? 'debug' : 'warn'
        log[level]({ err, endpoint_id: endpointId }, 'deliveries of an endpoint broke off')
      })
      .finally(() => this.#lanes.delete(endpointId))
    this.#lanes.set(endpointId, lane)
  }

  /** Logs that an endpoint begins to fail, for each cause once, and that it works again. */
  #logChange(
    endpointId: string,
    outcome: AttemptResult['outcome'],
    cause: Pick<AttemptResult, 'code' | 'status'>,
  ): void {
    const { log } = this.#with
    const fields = { endpoint_id: endpointId }
    if (outcome === 'delivered') {
      const isOver = this.#failures.delete(endpointId)
      if (isOver) log.info(fields, 'deliveries to an endpoint work again')
    } else if (outcome !== 'expired') {
      const failure = this.#failures.get(endpointId) ?? new FailureChange()
      this.#failures.set(endpointId, failure)
      const isNew = failure.isNew({ code: `${cause.code} ${cause.status}` })
      if (isNew) log.warn({ ...fields, ...cause }, 'deliveries to an endpoint fail')
    }
  }

  #laneContext(deploymentId: string): LaneContext {
    const { owner, attempts, log } = this.#with
    const { signal } = this.#stopping
    return {
      ...this.#with,
      deploymentId,
      newClaimId: () => `${owner}/${++this.#claims}`,
      random: Math.random,
      sleep: (ms) => delay(ms, undefined, { signal }).catch(() => {}),
      isStopping: () => signal.aborted,
      onEnd: ({ id, endpointId, messageId }, { outcome, code, status, ms }, ending) => {
        attempts.inc({ outcome: ending })
        const what = { delivery: id, endpoint_id: endpointId, event: messageId, code, status, ms }
        log.debug({ ...what, ending }, 'delivery attempted')
        this.#logChange(endpointId, outcome, { code, status })
        if (ending === 'failed') log.warn({ ...what, ending }, 'delivery failed for good')
      },
      onDisabled(endpointId, reason) {
        log.error({ endpoint_id: endpointId, reason }, 'endpoint was disabled')
      },
    }
  }
}
