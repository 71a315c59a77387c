import { sql } from 'kysely'
import type { Database } from '../db/database.ts'
import type { Integrations } from '../integrations/service.ts'
import { takePace } from '../refresh/pace.ts'
import { Repeated } from '../repeated.ts'
import type { OnboardingDependencies } from './finish-onboarding.ts'
import { belongsTo, type Worker } from './inbox.ts'

const INTERVAL_MS = 500
/** Of this process and an integration. */
const MAX_UNDER_WAY = 2
/** Half of a code's life: a busy integration leaves the lane no room, and a true installation must not wait until it is dead. */
const OLD_AFTER_SECONDS = 600
/** For those that are old: so rarely that a flood of junk holds up no refresh. */
const OLD_EVERY_SECONDS = 5

interface Waiting {
  id: string
  integration: string
  isOld: boolean
}

/**
 * Codes that nothing proves, such as of installations inside the CRM: exchanged one after the other, from what the pace of
 * their integration leaves when everybody else has had his.
 */
export class SlowLane {
  readonly #database: Database
  readonly #integrations: Integrations
  readonly #worker: Worker
  readonly #finish: (id: string) => Promise<void>
  readonly #look: Repeated
  readonly #underWay = new Map<string, number>()

  constructor(
    { database, integrations, worker, log }: OnboardingDependencies,
    finish: (id: string) => Promise<void>,
  ) {
    this.#database = database
    this.#integrations = integrations
    this.#worker = worker
    this.#finish = finish
    this.#look = new Repeated('installations', INTERVAL_MS, () => this.#run(), log)
  }

  start(): void {
    this.#look.start()
  }

  stop(): Promise<void> {
    return this.#look.stop()
  }

  /** Something came in. */
  nudge(): void {
    this.#look.runNow()
  }

  async #run(): Promise<void> {
    for (const { id, integration, isOld } of await this.#findWaiting()) {
      const underWay = this.#underWay.get(integration) ?? 0
      if (underWay >= MAX_UNDER_WAY || this.#integrations.find(integration) === undefined) continue
      const lane = isOld ? 'due' : 'unproven'
      if (!(await takePace(this.#database.db, integration, lane))) continue
      this.#underWay.set(integration, underWay + 1)
      this.#finish(id).finally(() => {
        this.#underWay.set(integration, (this.#underWay.get(integration) ?? 1) - 1)
      })
    }
  }

  /** Of each integration the one that waits longest. */
  async #findWaiting(): Promise<Waiting[]> {
    const { rows } = await sql<Waiting>`
      select distinct on (integration) id, integration,
        "receivedAt" < clock_timestamp() - ${OLD_AFTER_SECONDS} * interval '1 second'
          and not exists (select from amo_inbox other where other.origin = 'install'
            and other.integration = amo_inbox.integration
            and other."receivedAt" > clock_timestamp() - interval '20 minutes'
            and other."presentedAt" > clock_timestamp() - ${OLD_EVERY_SECONDS} * interval '1 second') as "isOld"
      from amo_inbox
      where kind = 'callback' and origin = 'install' and "finishedAt" is null
        and "presentedAt" is null and (owner is null or "leaseUntil" < clock_timestamp())
        and "nextAttemptAt" <= clock_timestamp() and ${belongsTo(this.#worker.deploymentId)}
      order by integration, "nextAttemptAt"
    `.execute(this.#database.db)
    return rows
  }
}
