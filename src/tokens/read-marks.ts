import { sql } from 'kysely'
import type { Logger } from 'pino'
import { type AccountKey, keyText } from '../accounts/account-key.ts'
import type { Database } from '../db/database.ts'
import { Repeated } from '../repeated.ts'

const FLUSH_MS = 60_000
/** Finer than the week after which an account counts as idle, and so rare that reads write next to nothing. */
const FRESH_HOURS = 6
const MAX_MARKS = 50_000

/** Remembers which accounts are read, for the schedule: those that nobody reads are refreshed monthly. */
export class ReadMarks {
  readonly #database: Database
  readonly #flushing: Repeated
  #marks = new Map<string, AccountKey>()

  constructor(database: Database, log: Logger) {
    this.#database = database
    this.#flushing = new Repeated('read marks', FLUSH_MS, () => this.#flush(), log)
  }

  start(): void {
    this.#flushing.start()
  }

  /** Once for what is held in memory, so that a hit writes nothing. */
  mark(held: AccountKey & { isMarked: boolean }): void {
    if (held.isMarked || this.#marks.size >= MAX_MARKS) return
    held.isMarked = true
    const { integration, accountId } = held
    this.#marks.set(keyText(held), { integration, accountId })
  }

  async stop(): Promise<void> {
    await this.#flushing.stop()
    await this.#flush().catch(() => {})
  }

  /** Rows that a refresh holds are left out: it is a hint, and never worth a wait. */
  async #flush(): Promise<void> {
    const marks = [...this.#marks.values()]
    if (marks.length === 0) return
    this.#marks = new Map()
    await sql`
      with read as (
        select t.integration, t."accountId" from amo_tokens t
        join unnest(${marks.map(({ integration }) => integration)}::text[],
          ${marks.map(({ accountId }) => accountId)}::bigint[]) as m(integration, "accountId")
          using (integration, "accountId")
        where t."lastReadAt" is null or t."lastReadAt" < clock_timestamp() - ${FRESH_HOURS} * interval '1 hour'
        for no key update of t skip locked
      )
      update amo_tokens t set "lastReadAt" = clock_timestamp() from read
      where t.integration = read.integration and t."accountId" = read."accountId"
    `.execute(this.#database.db)
  }
}
