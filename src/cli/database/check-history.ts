import { type Finding, RULES, type Rule } from '../../history/finding.ts'
import { type HistoryReport, verifyHistory } from '../../history/verify-history.ts'
import {
  endProgress,
  mark,
  printJson,
  printRemedy,
  printTable,
  showBar,
  type Table,
} from '../common/output.ts'
import { withDatabase } from '../common/with-database.ts'

interface HistoryOptions {
  json?: true | undefined
}

const TABLE: Table<Finding> = {
  columns: [
    { title: 'WHEN', of: ({ at }) => at.toISOString() },
    { title: 'ACCOUNT', of: ({ integration, accountId }) => `${integration}/${accountId}` },
    { title: 'ATTEMPT', of: ({ attempt }) => attempt },
    { title: 'WHAT', of: ({ detail }) => detail },
  ],
  empty: '',
}

/** Verifies the history of the database. Sets exit code 1 if a rule was broken. */
export function checkHistory({ json }: HistoryOptions): Promise<void> {
  return withDatabase(async ({ attemptDays }, database) => {
    const report = await database.withDirect((db) =>
      verifyHistory(db, { attemptDays, onProgress: showBar }),
    )
    endProgress()
    if (report.violations > 0) process.exitCode = 1
    if (json) printJson(documentOf(report))
    else print(report, attemptDays)
  })
}

function print({ attempts, accounts, violations, findings }: HistoryReport, days: number): void {
  console.log(`${attempts} attempts of ${accounts} accounts, ATTEMPT_DAYS is ${days}`)
  for (const rule of Object.keys(RULES) as Rule[]) {
    const broken = findings.filter((finding) => finding.rule === rule)
    if (broken.length === 0) continue
    console.log(`\n${mark('fail')} ${rule}: ${RULES[rule].broken}`)
    printTable(broken, TABLE)
    printRemedy(RULES[rule].remedy)
  }
  const rest = violations - findings.length
  if (rest > 0) console.log(`\nand ${rest} more`)
  console.log(violations === 0 ? `${mark('ok')} every rule holds` : `\n${violations} violations`)
}

function documentOf({ attempts, accounts, violations, findings }: HistoryReport) {
  return {
    attempts,
    accounts,
    violations,
    findings: findings.map(({ rule, integration, accountId, attempt, at, detail }) => ({
      rule,
      ...RULES[rule],
      integration,
      account_id: accountId,
      attempt,
      at: at.toISOString(),
      detail,
    })),
  }
}
