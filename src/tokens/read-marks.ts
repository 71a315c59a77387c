import { sql } from 'kysely'
import type { Database } from '../db/database.ts'
import { type AccountKey, keyText } from '../lib/account-key.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'

const FLUSH_MS = 60_000
/**
 * Much shorter than the week after which an account counts as idle, and long enough that reads
 * write almost nothing.
 */
const FRESH_HOURS = 6
const MAX_MARKS = 50_000

/**
 * Records which accounts are read. The schedule refreshes unread accounts only once a month.
 */
export class ReadMarks implements PeriodicWork {
  readonly name = 'read marks'
  readonly intervalMs = FLUSH_MS
  readonly #database: Database
  #marks = new Map<string, AccountKey>()

  constructor(database: Database) {
    this.#database = database
  }

  /** Marks an account once for each cached token, so that a hit writes nothing. */
  mark(token: AccountKey & { isMarked: boolean }): void {
    if (token.isMarked || this.#marks.size >= MAX_MARKS) return
    token.isMarked = true
    const { integration, accountId } = token
    this.#marks.set(keyText(token), { integration, accountId })
  }

  /** Writes the last marks, at the end of the process. */
  async close(): Promise<void> {
    await this.run().catch(() => {})
  }

  /**
   * Writes the marks. Leaves out rows that a refresh has locked: a mark is a hint and never worth a
   * wait.
   */
  async run(): Promise<void> {
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
