import { sql } from 'kysely'
import type { Logger } from 'pino'
import { takePace } from '../claims/pace.ts'
import type { Database } from '../db/database.ts'
import type { Integrations } from '../integrations/directory.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'
import { belongsTo, type Worker } from './worker.ts'

const INTERVAL_MS = 500
/** Exchanges of one integration at a time, in this process. */
const MAX_UNDER_WAY = 2
/**
 * Half of a code's life. A busy integration leaves this lane no pace, and a genuine installation
 * must not wait until its code has expired.
 */
const OLD_AFTER_SECONDS = 600
/** The interval for old ones: long enough that a flood of forged callbacks delays no refresh. */
const OLD_EVERY_SECONDS = 5

interface Waiting {
  id: string
  integration: string
  isOld: boolean
}

export interface UnprovenLaneContext {
  database: Database
  integrations: Integrations
  worker: Worker
  log: Logger
}

/**
 * Starts the exchange of unproven codes, such as those of installations inside the CRM, one after
 * the other. They use only the pace that all other requests of their integration leave.
 */
export class UnprovenLane implements PeriodicWork {
  readonly name = 'installations'
  readonly intervalMs = INTERVAL_MS
  readonly #database: Database
  readonly #integrations: Integrations
  readonly #worker: Worker
  readonly #finish: (id: string) => Promise<void>
  readonly #log: Logger
  readonly #inProgress = new Map<string, number>()
  #running: Promise<void> | undefined

  constructor(
    { database, integrations, worker, log }: UnprovenLaneContext,
    finish: (id: string) => Promise<void>,
  ) {
    this.#database = database
    this.#integrations = integrations
    this.#worker = worker
    this.#finish = finish
    this.#log = log
  }

  /** Runs now, because an installation was received. */
  nudge(): void {
    // The next periodic run reports a failure that lasts.
    this.run().catch((err) => this.#log.debug({ err, work: this.name }, 'periodic work failed'))
  }

  /** Starts what the pace allows. Joins the run that is in progress, if there is one. */
  run(): Promise<void> {
    this.#running ??= this.#startWaiting().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  /** Resolves when no run is in progress. */
  async settled(): Promise<void> {
    await this.#running?.catch(() => {})
  }

  async #startWaiting(): Promise<void> {
    for (const { id, integration, isOld } of await this.#findWaiting()) {
      const inProgress = this.#inProgress.get(integration) ?? 0
      if (inProgress >= MAX_UNDER_WAY || this.#integrations.find(integration) === undefined)
        continue
      const lane = isOld ? 'due' : 'unproven'
      if (!(await takePace(this.#database.db, integration, lane))) continue
      this.#inProgress.set(integration, inProgress + 1)
      this.#finish(id).finally(() => {
        this.#inProgress.set(integration, (this.#inProgress.get(integration) ?? 1) - 1)
      })
    }
  }

  /** Finds the callback of each integration that has waited longest. */
  async #findWaiting(): Promise<Waiting[]> {
    const { rows } = await sql<Waiting>`
      select distinct on (integration) id, integration,
        "receivedAt" < clock_timestamp() - ${OLD_AFTER_SECONDS} * interval '1 second'
          and not exists (select from amo_inbox other where other.origin = 'install'
            and other.integration = amo_inbox.integration
            and other."receivedAt" > now() - interval '20 minutes'
            and other."presentedAt" > clock_timestamp() - ${OLD_EVERY_SECONDS} * interval '1 second') as "isOld"
      from amo_inbox
      where kind = 'callback' and origin = 'install' and "finishedAt" is null
        and "presentedAt" is null and (owner is null or "leaseUntil" < clock_timestamp())
        and "nextAttemptAt" <= now() and ${belongsTo(this.#worker.deploymentId)}
      order by integration, "nextAttemptAt"
    `.execute(this.#database.db)
    return rows
  }
}
