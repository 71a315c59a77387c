import { type Kysely, sql } from 'kysely'
import type { Logger } from 'pino'
import type { Database } from '../db/database.ts'
import type { Tables } from '../db/tables.ts'
import { keyText } from '../lib/account-key.ts'
import type { PeriodicWork } from '../lib/periodic-task.ts'
import { RULES } from './finding.ts'
import { type HistoryReport, verifyHistory } from './verify-history.ts'

const INTERVAL_MS = 600_000
const EVERY_HOURS = 24
/** A run that takes longer counts as broken off. A million attempts take seconds. */
const LOST_AFTER_HOURS = 2
/** Findings that are logged. `amo-broker history verify` shows all. */
const MAX_LOGGED = 20

interface DailyResult {
  violations: number
  /** When the last run ended, or when the first one became possible. */
  checkedAt: Date
}

interface DailyCheckDependencies {
  database: Database
  attemptDays: number
  log: Logger
}

/**
 * Verifies the history once a day, by one replica at a time. Every replica knows the result within
 * ten minutes.
 */
export class DailyHistoryCheck implements PeriodicWork {
  readonly name = 'history'
  readonly intervalMs = INTERVAL_MS
  readonly #with: DailyCheckDependencies
  /** Result of the last run of any replica; the metrics show it. Undefined: not read yet. */
  result: DailyResult | undefined

  constructor(dependencies: DailyCheckDependencies) {
    this.#with = dependencies
  }

  async run(): Promise<void> {
    const { database, attemptDays } = this.#with
    if (await takeRun(database.db)) {
      const report = await database.withDirect((db) => verifyHistory(db, { attemptDays }))
      await storeResult(database.db, report)
      this.#log(report)
    }
    this.result = await findResult(database.db)
  }

  #log({ attempts, violations, findings }: HistoryReport): void {
    const { log } = this.#with
    for (const { rule, attempt, at, detail, ...key } of findings.slice(0, MAX_LOGGED)) {
      const { broken } = RULES[rule]
      log.error({ rule, broken, account: keyText(key), attempt, at, detail }, 'history rule broken')
    }
    log[violations > 0 ? 'error' : 'info']({ attempts, violations }, 'history verified')
  }
}

/** Takes the day's run. @returns false when it was done or is being done. */
async function takeRun(db: Kysely<Tables>): Promise<boolean> {
  const { rows } = await sql`
    update amo_history_check set "startedAt" = clock_timestamp()
    where "startedAt" < clock_timestamp() - ${EVERY_HOURS} * interval '1 hour'
      or ("startedAt" < clock_timestamp() - ${LOST_AFTER_HOURS} * interval '1 hour'
        and ("finishedAt" is null or "finishedAt" < "startedAt"))
    returning "startedAt"
  `.execute(db)
  return rows.length > 0
}

async function storeResult(
  db: Kysely<Tables>,
  { attempts, violations }: HistoryReport,
): Promise<void> {
  await sql`
    update amo_history_check
    set "finishedAt" = clock_timestamp(), attempts = ${attempts}, violations = ${violations}
  `.execute(db)
}

async function findResult(db: Kysely<Tables>): Promise<DailyResult | undefined> {
  const { rows } = await sql<DailyResult>`
    select violations, coalesce("finishedAt", "startedAt") as "checkedAt" from amo_history_check
  `.execute(db)
  return rows[0]
}
