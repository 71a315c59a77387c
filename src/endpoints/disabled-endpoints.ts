import type { Database } from '../db/database.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'

/** Readiness may be this old. */
const INTERVAL_MS = 10_000

interface DisabledEndpoint {
  name: string
  reason: string
}

/** Finds the endpoints that the broker has disabled, for readiness. */
export class DisabledEndpoints implements PeriodicWork {
  readonly name = 'disabled endpoints'
  readonly intervalMs = INTERVAL_MS
  readonly #database: Database
  readonly #onChange: (disabled: DisabledEndpoint[]) => void

  /** @param onChange gets the endpoints that failed for days or wanted no more messages */
  constructor(database: Database, onChange: (disabled: DisabledEndpoint[]) => void) {
    this.#database = database
    this.#onChange = onChange
  }

  async run(): Promise<void> {
    const rows = await this.#database.db
      .selectFrom('amo_endpoints')
      .select(['name', 'disabledReason'])
      .where('state', '=', 'disabled')
      .where('disabledReason', '!=', 'operator')
      .orderBy('name')
      .execute()
    this.#onChange(rows.map(({ name, disabledReason }) => ({ name, reason: disabledReason ?? '' })))
  }
}
