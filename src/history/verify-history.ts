import { type Kysely, sql, type Transaction } from 'kysely'
import type { Tables } from '../db/tables.ts'
import { type AccountKey, keyText } from '../lib/account-key.ts'
import { type AccountEvents, readEvents } from './account-events.ts'
import { AccountHistory } from './account-history.ts'
import { type Attempt, countAttempts, readAttempts } from './attempt.ts'
import type { Finding } from './finding.ts'

/** Findings beyond this number are only counted, so that a broken history needs no memory. */
const MAX_FINDINGS = 1_000

/** What the history of a database shows. */
export interface HistoryReport {
  attempts: number
  accounts: number
  /** Number of findings, also of those that are not listed. */
  violations: number
  findings: Finding[]
}

export interface HistoryOptions {
  /** Days that finished attempts are kept (ATTEMPT_DAYS). Older audit rows have no attempt. */
  attemptDays: number
  /** Called from time to time with the numbers of attempts that were read, and of all. */
  onProgress?: (read: number, all: number) => void
}

/**
 * Verifies what the brokers have recorded about refreshes: attempts with their steps, the audit and
 * the present pairs. Needs a connection without time limits, and changes nothing. One snapshot of
 * the database is read, so brokers may work meanwhile. Throws when the database fails.
 */
export function verifyHistory(
  db: Kysely<Tables>,
  { attemptDays, onProgress = () => {} }: HistoryOptions,
): Promise<HistoryReport> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async (trx) => {
      const report = new Report(await countAttempts(trx))
      const since = sql<Date>`clock_timestamp() - ${attemptDays} * interval '1 day'`
      const events = await readEvents(trx, since)
      for await (const batch of readAttempts(trx)) {
        for (const attempt of batch) report.add(attempt, events)
        onProgress(report.attempts, report.all)
      }
      report.end(events)
      for (const finding of await findReusedGenerations(trx)) report.count(finding)
      const { attempts, accounts, violations, findings } = report
      return { attempts, accounts, violations, findings }
    })
}

class Report implements HistoryReport {
  readonly all: number
  readonly findings: Finding[] = []
  attempts = 0
  accounts = 0
  violations = 0
  #key: string | undefined
  #account: AccountHistory | undefined

  constructor(all: number) {
    this.all = all
  }

  add(attempt: Attempt, events: Map<string, AccountEvents>): void {
    const key = keyText(attempt)
    if (key !== this.#key) {
      this.#endAccount()
      this.#key = key
      this.#account = new AccountHistory(attempt, events.get(key))
      events.delete(key)
      this.accounts += 1
    }
    this.#account?.add(attempt)
    this.attempts += 1
  }

  /** `events`: those of accounts without an attempt. */
  end(events: Map<string, AccountEvents>): void {
    this.#endAccount()
    for (const { integration, accountId, reauthMs } of events.values()) {
      for (const atMs of reauthMs) {
        const at = new Date(atMs)
        const detail = 'no attempt on record led to it'
        this.count({
          rule: 'reauth_without_probe',
          integration,
          accountId,
          attempt: null,
          at,
          detail,
        })
      }
    }
  }

  count(finding: Finding): void {
    this.violations += 1
    if (this.findings.length < MAX_FINDINGS) this.findings.push(finding)
  }

  #endAccount(): void {
    this.#account?.end()
    for (const finding of this.#account?.findings ?? []) this.count(finding)
  }
}

interface Reused extends AccountKey {
  generation: number
  attempt: number | null
  at: Date
}

/** Finds generations that two accounts or two pairs have had. Parked pairs are in the table too. */
async function findReusedGenerations(trx: Transaction<Tables>): Promise<Finding[]> {
  const { rows } = await sql<Reused>`
    select generation, max(integration) as integration, max("accountId") as "accountId",
      max(id) as attempt, max(at) as at
    from (
      select generation, integration, "accountId", "refreshTokenFingerprint" as fingerprint, id,
        "claimedAt" as at
      from amo_refresh_attempts
      union all
      select generation, integration, "accountId", "refreshTokenFingerprint", null, "updatedAt"
      from amo_tokens where "refreshTokenFingerprint" is not null
    ) used
    group by generation
    having min(fingerprint) <> max(fingerprint) or min("accountId") <> max("accountId")
      or min(integration) <> max(integration)
    limit ${MAX_FINDINGS}
  `.execute(trx)
  return rows.map(({ generation, ...place }) => ({
    ...place,
    rule: 'generation_reused',
    detail: `generation ${generation} was given out twice`,
  }))
}
